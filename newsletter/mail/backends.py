"""Mail backends: SMTP, or the built-in mailbox (a Maildir) while no mail server is set."""

import mailbox
import time
from pathlib import Path

from flask import Flask

from newsletter.config import Settings, current_settings
from newsletter.mail.replies.models import Fault
from newsletter.mail.smtp.client import NewsletterMail, SmtpTransport
from newsletter.mail.smtp.transport import Reply, Transport, TransportSteps


class MailboxTransport(Transport):
    """Delivers into the built-in mailbox, a Maildir in the instance folder."""

    def __init__(self, folder: Path) -> None:
        self._maildir = mailbox.Maildir(folder)

    def open(self) -> None:
        """Do nothing: a Maildir needs no connection."""

    def connect_steps(self) -> TransportSteps[Reply | None]:
        """Do nothing."""
        yield from ()
        return None

    def send_steps(
        self,
        sender: str,
        recipient: str,
        message: bytes,
        *,
        following: tuple[str, str] | None = None,  # noqa: ARG002 - the interface's
        is_dotless: bool = False,  # noqa: ARG002
    ) -> TransportSteps[Reply]:
        """Store the message with its envelope as headers on top."""
        envelope = f"Return-Path: <{sender}>\r\nDelivered-To: {recipient}\r\n".encode("ascii")
        yield from ()
        try:
            self._maildir.add(envelope + message)
        except OSError as error:  # a full disk: nobody sees what was written of it
            return Reply(0, error.strerror or type(error).__name__, fault=Fault.UNREACHABLE)
        return Reply(250, f"kept {int(time.time())}")

    def quit_steps(self) -> TransportSteps[None]:
        """Close the folder."""
        self._maildir.close()
        yield from ()


def init_app(app: Flask) -> None:
    """Set Flask-Mail up from the application's configuration."""
    NewsletterMail().init_app(app)


def open_transport() -> Transport:
    """Return the transport that the settings name, for the calling thread."""
    if current_settings().uses_mailbox:
        return MailboxTransport(mailbox_folder(current_settings()))
    return SmtpTransport()


def mailbox_folder(chosen: Settings) -> Path:
    """Return where the built-in mailbox keeps its mails."""
    return chosen.instance_path / "mailbox"
