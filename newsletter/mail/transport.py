"""The way out: a mail server, or the built-in mailbox while there is none.

Both speak through ``Transport.send``, which answers with the server's reply. Flask-Mail keeps the
settings and the connection; it checks no certificate and waits for ever, so the opening is ours.
"""

import mailbox
import smtplib
import ssl
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import flask_mail
from flask import Flask, current_app

from newsletter.config import Settings, settings

#: Replies after which the same mail may be offered again (RFC 5321, 4.2.1: a 4yz is for now).
RETRYABLE = range(400, 500)


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one mail. ``code`` is 0 when the server could not be asked at all."""

    code: int
    text: str = ""
    #: True when the content had been handed over and no answer came: it may have been accepted.
    is_uncertain: bool = False

    @property
    def is_accepted(self) -> bool:
        """True when the next server took responsibility."""
        return 200 <= self.code < 300  # noqa: PLR2004 - the 2yz replies

    @property
    def is_retryable(self) -> bool:
        """True when the mail may be offered again later."""
        return not self.is_uncertain and (self.code == 0 or self.code in RETRYABLE)


class Transport(ABC):
    """One connection for one thread."""

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    @abstractmethod
    def send(self, sender: str, recipient: str, message: bytes) -> Reply:
        """Hand over one message, whose line ends are CRLF."""


class NewsMail(flask_mail.Mail):
    """Flask-Mail with a connection that can be trusted."""

    def connect(self) -> "SafeConnection":
        """Return a connection not yet opened."""
        return SafeConnection(current_app.extensions["mail"])


class SafeConnection(flask_mail.Connection):
    """A connection that checks the server's certificate and gives up after MAIL_TIMEOUT seconds."""

    def configure_host(self) -> smtplib.SMTP:
        """Open the connection: STARTTLS before AUTH, as configured."""
        mail, timeout = self.mail, settings().mail_timeout
        context = ssl.create_default_context()
        if mail.use_ssl:
            host: smtplib.SMTP = smtplib.SMTP_SSL(mail.server, mail.port, timeout=timeout, context=context)
        else:
            host = smtplib.SMTP(mail.server, mail.port, timeout=timeout)
        try:
            if mail.use_tls:
                host.starttls(context=context)
            if mail.username and mail.password:
                host.login(mail.username, mail.password)
        except BaseException:
            host.close()
            raise
        return host


class SmtpTransport(Transport):
    """Speaks with MAIL_SERVER, opening the connection when it is first needed."""

    def __init__(self) -> None:
        self._host: smtplib.SMTP | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._host is not None:
            with suppress(smtplib.SMTPException, OSError):
                self._host.quit()
            self._host.close()

    def send(self, sender: str, recipient: str, message: bytes) -> Reply:
        """Walk MAIL, RCPT and DATA, so that we know at which of them the connection was lost."""
        handed_over = False
        try:
            host = self._open()
            for command in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA"):
                code, text = host.docmd(command)
                if not 200 <= code < 400:  # noqa: PLR2004 - 2yz and 3yz let us go on
                    self._reset(code)
                    return Reply(code, _readable(text))
            handed_over = True
            host.send(_framed(message))
            code, text = host.getreply()
            return Reply(code, _readable(text))
        except smtplib.SMTPResponseException as error:
            self._drop()
            # 5yz to our greeting or login is about us, not about this person: try again later.
            return Reply(0, f"{error.smtp_code} {_readable(error.smtp_error)}", is_uncertain=handed_over)
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            return Reply(0, type(error).__name__, is_uncertain=handed_over)

    def _open(self) -> smtplib.SMTP:
        if self._host is None:
            self._host = SafeConnection(current_app.extensions["mail"]).configure_host()
            self._host.ehlo_or_helo_if_needed()
        return self._host

    def _reset(self, code: int) -> None:
        """Leave the refused mail behind; 421 means that the server closes the connection."""
        if code == 421 or self._host is None:  # noqa: PLR2004 - RFC 5321, 3.8
            self._drop()
            return
        try:
            self._host.rset()
        except (smtplib.SMTPException, OSError):
            self._drop()

    def _drop(self) -> None:
        if self._host is not None:
            self._host.close()
            self._host = None


class MailboxTransport(Transport):
    """Puts mails into the built-in mailbox, a Maildir in the instance folder."""

    def __init__(self, folder: Path) -> None:
        self._maildir = mailbox.Maildir(folder)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._maildir.close()

    def send(self, sender: str, recipient: str, message: bytes) -> Reply:
        """Keep the message as a server would have got it, with its envelope on top."""
        envelope = f"Return-Path: <{sender}>\r\nDelivered-To: {recipient}\r\n".encode("ascii")
        self._maildir.add(envelope + message)
        return Reply(250, f"kept {int(time.time())}")


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


def _framed(message: bytes) -> bytes:
    """Return a message as DATA wants it: dots doubled at line starts, and the final dot (RFC 5321, 4.5.2)."""
    if b"\r\n." in message:
        message = message.replace(b"\r\n.", b"\r\n..")
    return message + (b".\r\n" if message.endswith(b"\r\n") else b"\r\n.\r\n")


def _readable(text: bytes | str) -> str:
    return (text.decode("utf-8", "replace") if isinstance(text, bytes) else text)[:300]
