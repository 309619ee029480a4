"""The way out: a mail server, or the built-in mailbox while there is none."""

import mailbox
import time
from pathlib import Path

from flask import Flask

from newsletter.config import Settings, settings
from newsletter.mail.replies.models import Fault
from newsletter.mail.smtp.client import NewsMail, SmtpTransport
from newsletter.mail.smtp.transport import Deed, Reply, Transport


class MailboxTransport(Transport):
    """Puts mails into the built-in mailbox, a Maildir in the instance folder."""

    def __init__(self, folder: Path) -> None:
        self._maildir = mailbox.Maildir(folder)

    def open(self) -> None:
        """Do nothing: it is always open."""

    def opening(self) -> Deed[Reply | None]:
        """Do nothing."""
        yield from ()
        return None

    def sending(
        self,
        sender: str,
        recipient: str,
        message: bytes,
        *,
        following: tuple[str, str] | None = None,  # noqa: ARG002 - the interface's
        is_dotless: bool = False,  # noqa: ARG002
    ) -> Deed[Reply]:
        """Keep the message as a server would have got it, with its envelope on top."""
        envelope = f"Return-Path: <{sender}>\r\nDelivered-To: {recipient}\r\n".encode("ascii")
        yield from ()
        try:
            self._maildir.add(envelope + message)
        except OSError as error:  # a full disk: nobody sees what was written of it
            return Reply(0, error.strerror or type(error).__name__, fault=Fault.UNREACHABLE)
        return Reply(250, f"kept {int(time.time())}")

    def leaving(self) -> Deed[None]:
        """Close the folder."""
        self._maildir.close()
        yield from ()


def init_app(app: Flask) -> None:
    """Set Flask-Mail up from the application's configuration."""
    NewsMail().init_app(app)


def open_transport() -> Transport:
    """Return the way out that the settings name, for the calling thread."""
    if settings().uses_mailbox:
        return MailboxTransport(mailbox_folder(settings()))
    return SmtpTransport()


def mailbox_folder(chosen: Settings) -> Path:
    """Return where the built-in mailbox keeps its mails."""
    return chosen.instance_path / "mailbox"
