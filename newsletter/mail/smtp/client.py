"""The SMTP transport on Flask-Mail's settings.

Flask-Mail verifies no certificate and has no time-out, so connecting is done here.
"""

import re
import smtplib
import ssl
from contextlib import suppress

import flask_mail
from flask import current_app

from newsletter.config import current_settings
from newsletter.mail.replies.classify import classify
from newsletter.mail.replies.models import Fault, Said
from newsletter.mail.smtp.pipelining import ConnectionLost, Envelope, SmtpConnection, SmtpReply
from newsletter.mail.smtp.transport import RETRYABLE_CODES, ConnectRequest, Reply, Transport, TransportSteps

#: A connection is closed after so many mails: servers that count them hang up on us otherwise.
MAILS_PER_CONNECTION = 1000
#: Printable ASCII without what ends an address or a command.
_SAFE_ADDRESS = re.compile(r"[!-;=?-~]*")


class NewsletterMail(flask_mail.Mail):
    """Flask-Mail with a connection that verifies certificates and times out."""

    def connect(self) -> "VerifiedConnection":
        """Return a connection not yet opened."""
        return VerifiedConnection(current_app.extensions["mail"])


class LoginUnsupported(smtplib.SMTPException):
    """A user name is set, and there is no way to log in with it on this connection."""


class VerifiedConnection(flask_mail.Connection):
    """A connection that verifies the server's certificate and times out."""

    @property
    def timeout_seconds(self) -> float:
        """Seconds to wait for each reply (MAIL_TIMEOUT)."""
        return current_settings().mail_timeout

    def configure_host(self) -> smtplib.SMTP:
        """Open the connection: STARTTLS before AUTH, as configured."""
        mail, timeout = self.mail, self.timeout_seconds
        context = ssl.create_default_context()
        if mail.use_ssl:
            host: smtplib.SMTP = smtplib.SMTP_SSL(
                mail.server, mail.port, ehlo_name(), timeout=timeout, context=context
            )
        else:
            host = smtplib.SMTP(mail.server, mail.port, ehlo_name(), timeout=timeout)
        try:
            if mail.use_tls:
                host.starttls(context=context)
            if mail.username and mail.password:
                _log_in(host, mail.username, mail.password)
        except BaseException:
            host.close()
            raise
        return host


def ehlo_name() -> str | None:
    """Return the name that we give in EHLO; None for the host's own, or its address where it has none."""
    return current_settings().mail_ehlo_name or None


class SmtpTransport(Transport):
    """Sends over MAIL_SERVER; connects at the first mail."""

    def __init__(self) -> None:
        self._connection: SmtpConnection | None = None

    def open(self) -> Reply | None:
        """Connect unless connected; a 5yz reply to EHLO or login is a fault of ours, not of a recipient."""
        if self._connection is not None:
            return None
        try:
            self._connection = _connect()
        except smtplib.SMTPResponseException as error:
            text = f"{error.smtp_code} {_readable(error.smtp_error)}"
            return Reply(0, text, fault=_connect_fault(error))
        except LoginUnsupported as error:
            return Reply(0, str(error), fault=Fault.NO_LOGIN)
        except (smtplib.SMTPException, OSError, ConnectionLost) as error:
            return Reply(0, type(error).__name__, fault=_connect_fault(error))
        return None

    def send_steps(
        self,
        sender: str,
        recipient: str,
        message: bytes,
        *,
        following: tuple[str, str] | None = None,
        is_dotless: bool = False,
    ) -> TransportSteps[Reply]:
        """Send envelope and content, so that it is known at which command the connection was lost."""
        envelope = Envelope(sender, recipient)
        if not _is_safe_envelope(envelope):
            return Reply(553, "the address cannot be written in an envelope")
        refusal = yield from self._send_envelope(envelope)
        if refusal is not None:
            return refusal
        connection = self._connection
        assert connection is not None  # noqa: S101 - the envelope has just been sent on it
        wire = message if is_dotless else _dot_stuffed(message)
        is_last = connection.mails >= MAILS_PER_CONNECTION
        next_envelope = Envelope(*following) if following and not is_last else None
        try:
            answer = yield from connection.send_content(
                wire, next_envelope if next_envelope and _is_safe_envelope(next_envelope) else None
            )
        except ConnectionLost as error:
            self._disconnect()
            return Reply(0, str(error), is_uncertain=error.is_fully_sent)
        if answer.is_closing:
            self._disconnect()
        elif is_last:
            yield from self.quit_steps()
        return _reply(answer)

    def connect_steps(self) -> TransportSteps[Reply | None]:
        """Ask the runner to connect, unless connected."""
        return (yield ConnectRequest(self)) if self._connection is None else None

    def quit_steps(self) -> TransportSteps[None]:
        """Send QUIT where possible, and close."""
        if self._connection is not None:
            with suppress(ConnectionLost):
                yield from self._connection.quit()
            self._disconnect()

    def _send_envelope(self, envelope: Envelope) -> TransportSteps[Reply | None]:
        """Send the envelope; on a reused connection that was closed meanwhile, once more on a new one."""
        if self._connection is not None and not self._connection.is_ready_for(envelope):
            self._disconnect()  # the envelope of another was sent: the server waits for its content
        for _try in range(2):
            refusal = yield from self.connect_steps()
            if refusal is not None or self._connection is None:
                return refusal
            was_used = self._connection.mails > 0
            try:
                answer = yield from self._connection.send_envelope(envelope)
            except ConnectionLost as error:
                self._disconnect()
                reply = Reply(0, str(error))
            else:
                if answer is None:
                    return None
                reply = _reply(answer)
                if not answer.is_closing:
                    return reply
                self._disconnect()
            if not was_used:
                break
        return reply

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _connect() -> SmtpConnection:
    host = VerifiedConnection(current_app.extensions["mail"]).configure_host()
    try:
        host.ehlo_or_helo_if_needed()
        return SmtpConnection(host, current_settings().mail_timeout)
    except BaseException:
        host.close()
        raise


def _log_in(host: smtplib.SMTP, username: str, password: str) -> None:
    """Log in; raise LoginImpossible where the server was not even asked."""
    try:
        host.login(username, password)
    except UnicodeEncodeError:  # its own words would quote the password
        raise LoginUnsupported("user name or password with letters other than ASCII") from None
    except smtplib.SMTPNotSupportedError as error:
        raise LoginUnsupported(str(error)) from error
    except smtplib.SMTPException as error:
        if type(error) is smtplib.SMTPException:  # of the methods it offers we know none
            raise LoginUnsupported(str(error)) from error
        raise


def _connect_fault(error: Exception) -> Fault:
    match error:
        case ssl.SSLError() | smtplib.SMTPNotSupportedError():
            return Fault.TLS
        case smtplib.SMTPAuthenticationError() if error.smtp_code not in RETRYABLE_CODES:
            return Fault.LOGIN
        case smtplib.SMTPHeloError() if error.smtp_code not in RETRYABLE_CODES:
            return Fault.EHLO
        case smtplib.SMTPResponseException() if error.smtp_code not in RETRYABLE_CODES:
            return Fault.REFUSED
        case _:
            return Fault.UNREACHABLE


def _reply(answer: SmtpReply) -> Reply:
    text = _readable(answer.text)
    if answer.code < 400:  # noqa: PLR2004 - neither 4yz nor 5yz
        return Reply(answer.code, text)
    verdict = classify(Said(answer.stage, text, code=answer.code))
    # What is put off comes again by itself; only what is refused waits for us to mend it.
    fault = verdict.fault if answer.code not in RETRYABLE_CODES else None
    return Reply(answer.code, text, fault=fault, stage=answer.stage, whose=verdict.whose, rule=verdict.rule)


def _dot_stuffed(message: bytes) -> bytes:
    """Double the dots at line starts (RFC 5321, 4.5.2)."""
    stuffed = message.replace(b"\r\n.", b"\r\n..") if b"\r\n." in message else message
    return b"." + stuffed if stuffed.startswith(b".") else stuffed


def _is_safe_envelope(envelope: Envelope) -> bool:
    """Tell whether its addresses cannot inject a command (no CR, LF, space or angle bracket)."""
    return all(map(_SAFE_ADDRESS.fullmatch, envelope))


def _readable(text: bytes | str) -> str:
    return (text.decode("utf-8", "replace") if isinstance(text, bytes) else text)[:300]
