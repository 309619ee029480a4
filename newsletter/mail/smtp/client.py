"""Mail by SMTP.

Flask-Mail keeps the settings and the connection; it checks no certificate and waits for ever, so the
opening is ours.
"""

import re
import smtplib
import ssl
from contextlib import suppress

import flask_mail
from flask import current_app

from newsletter.config import settings
from newsletter.mail.replies.classify import classify
from newsletter.mail.replies.models import Fault, Said
from newsletter.mail.smtp.pipelining import Answer, Dialogue, Envelope, Lost
from newsletter.mail.smtp.transport import RETRYABLE, Deed, Opening, Reply, Transport

#: A connection is closed after so many mails: servers that count them hang up on us otherwise.
MAILS_PER_CONNECTION = 1000
#: Printable ASCII without what ends an address or a command.
_PLAIN = re.compile(r"[!-;=?-~]*")


class NewsMail(flask_mail.Mail):
    """Flask-Mail with a connection that can be trusted."""

    def connect(self) -> "SafeConnection":
        """Return a connection not yet opened."""
        return SafeConnection(current_app.extensions["mail"])


class LoginImpossible(smtplib.SMTPException):
    """A user name is set, and there is no way to log in with it on this connection."""


class SafeConnection(flask_mail.Connection):
    """A connection that checks the server's certificate and gives up after a while."""

    @property
    def patience(self) -> float:
        """How many seconds to wait for whatever the server has to say."""
        return settings().mail_timeout

    def configure_host(self) -> smtplib.SMTP:
        """Open the connection: STARTTLS before AUTH, as configured."""
        mail, timeout = self.mail, self.patience
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
    return settings().mail_ehlo_name or None


class SmtpTransport(Transport):
    """Speaks with MAIL_SERVER, opening the connection when it is first needed."""

    def __init__(self) -> None:
        self._dialogue: Dialogue | None = None

    def open(self) -> Reply | None:
        """Connect, unless that is done; 5yz to our greeting or login is about us, not about a person."""
        if self._dialogue is not None:
            return None
        try:
            self._dialogue = _connect()
        except smtplib.SMTPResponseException as error:
            text = f"{error.smtp_code} {_readable(error.smtp_error)}"
            return Reply(0, text, fault=_fault_of_opening(error))
        except LoginImpossible as error:
            return Reply(0, str(error), fault=Fault.NO_LOGIN)
        except (smtplib.SMTPException, OSError, Lost) as error:
            return Reply(0, type(error).__name__, fault=_fault_of_opening(error))
        return None

    def sending(
        self,
        sender: str,
        recipient: str,
        message: bytes,
        *,
        following: tuple[str, str] | None = None,
        is_dotless: bool = False,
    ) -> Deed[Reply]:
        """Walk MAIL, RCPT and DATA, so that we know at which of them the connection was lost."""
        envelope = Envelope(sender, recipient)
        if not _is_plain(envelope):
            return Reply(553, "the address cannot be written in an envelope")
        refusal = yield from self._propose(envelope)
        if refusal is not None:
            return refusal
        dialogue = self._dialogue
        assert dialogue is not None  # noqa: S101 - it has just been proposed on
        wire = message if is_dotless else _stuffed(message)
        is_last = dialogue.mails >= MAILS_PER_CONNECTION
        ahead = Envelope(*following) if following and not is_last else None
        try:
            answer = yield from dialogue.hand_over(wire, ahead if ahead and _is_plain(ahead) else None)
        except Lost as error:
            self._drop()
            return Reply(0, str(error), is_uncertain=error.had_all)
        if answer.is_closing:
            self._drop()
        elif is_last:
            yield from self.leaving()
        return _reply(answer)

    def opening(self) -> Deed[Reply | None]:
        """Have it opened, unless it is."""
        return (yield Opening(self)) if self._dialogue is None else None

    def leaving(self) -> Deed[None]:
        """Say goodbye where that can be said, and close."""
        if self._dialogue is not None:
            with suppress(Lost):
                yield from self._dialogue.quit()
            self._drop()

    def _propose(self, envelope: Envelope) -> Deed[Reply | None]:
        """Announce a mail; on a connection that has been in use before, once more when it is closed."""
        if self._dialogue is not None and not self._dialogue.is_ready_for(envelope):
            self._drop()  # another was announced: its content is what the server waits for
        for _try in range(2):
            refusal = yield from self.opening()
            if refusal is not None or self._dialogue is None:
                return refusal
            was_used = self._dialogue.mails > 0
            try:
                answer = yield from self._dialogue.propose(envelope)
            except Lost as error:
                self._drop()
                reply = Reply(0, str(error))
            else:
                if answer is None:
                    return None
                reply = _reply(answer)
                if not answer.is_closing:
                    return reply
                self._drop()
            if not was_used:
                break
        return reply

    def _drop(self) -> None:
        if self._dialogue is not None:
            self._dialogue.close()
            self._dialogue = None


def _connect() -> Dialogue:
    host = SafeConnection(current_app.extensions["mail"]).configure_host()
    try:
        host.ehlo_or_helo_if_needed()
        return Dialogue(host, settings().mail_timeout)
    except BaseException:
        host.close()
        raise


def _log_in(host: smtplib.SMTP, username: str, password: str) -> None:
    """Log in; raise LoginImpossible where the server was not even asked."""
    try:
        host.login(username, password)
    except UnicodeEncodeError:  # its own words would quote the password
        raise LoginImpossible("user name or password with letters other than ASCII") from None
    except smtplib.SMTPNotSupportedError as error:
        raise LoginImpossible(str(error)) from error
    except smtplib.SMTPException as error:
        if type(error) is smtplib.SMTPException:  # of the methods it offers we know none
            raise LoginImpossible(str(error)) from error
        raise


def _fault_of_opening(error: Exception) -> Fault:
    match error:
        case ssl.SSLError() | smtplib.SMTPNotSupportedError():
            return Fault.TLS
        case smtplib.SMTPAuthenticationError() if error.smtp_code not in RETRYABLE:
            return Fault.LOGIN
        case smtplib.SMTPHeloError() if error.smtp_code not in RETRYABLE:
            return Fault.EHLO
        case smtplib.SMTPResponseException() if error.smtp_code not in RETRYABLE:
            return Fault.REFUSED
        case _:
            return Fault.UNREACHABLE


def _reply(answer: Answer) -> Reply:
    text = _readable(answer.text)
    if answer.code < 400:  # noqa: PLR2004 - neither 4yz nor 5yz
        return Reply(answer.code, text)
    verdict = classify(Said(answer.stage, text, code=answer.code))
    # What is put off comes again by itself; only what is refused waits for us to mend it.
    fault = verdict.fault if answer.code not in RETRYABLE else None
    return Reply(answer.code, text, fault=fault, stage=answer.stage, whose=verdict.whose, rule=verdict.rule)


def _stuffed(message: bytes) -> bytes:
    """Double the dots at line starts (RFC 5321, 4.5.2)."""
    stuffed = message.replace(b"\r\n.", b"\r\n..") if b"\r\n." in message else message
    return b"." + stuffed if stuffed.startswith(b".") else stuffed


def _is_plain(envelope: Envelope) -> bool:
    """Tell whether its addresses can be written without starting a command of their own."""
    return all(map(_PLAIN.fullmatch, envelope))


def _readable(text: bytes | str) -> str:
    return (text.decode("utf-8", "replace") if isinstance(text, bytes) else text)[:300]
