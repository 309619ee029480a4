"""A word with the mail server, for whoever wants to know whether it can be used."""

import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import current_app

from newsletter.config import settings
from newsletter.config.parsers import is_loopback
from newsletter.mail.smtp.client import LoginImpossible, SafeConnection

#: Somebody waits for the answer.
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Greeting:
    """How the server received us."""

    #: What went wrong, in the library's or the server's words; empty when nothing did.
    problem: str = ""
    #: True when the connection could not be encrypted, or the certificate is not to be trusted.
    is_about_tls: bool = False
    #: True when a user name is set and the server offers no login that we can use.
    is_about_login: bool = False
    #: The version of TLS that is spoken; empty without encryption.
    tls: str = ""
    #: When the certificate ends; None without one.
    expires_at: datetime | None = None
    #: What it offers, as its answer to EHLO names it.
    features: tuple[str, ...] = ()
    #: The server's host is this machine: what is said to it passes no network.
    is_here: bool = False


class _HastyConnection(SafeConnection):
    """A connection that gives up sooner than one that has mails to send."""

    @property
    def patience(self) -> float:
        return min(_PATIENCE, settings().mail_timeout)


def greet() -> Greeting:
    """Connect, encrypt and log in as for sending, and leave."""
    is_here = is_loopback(settings().mail_server)
    try:
        host = _HastyConnection(current_app.extensions["mail"]).configure_host()
    except LoginImpossible as error:
        return Greeting(str(error), is_about_login=True, is_here=is_here)
    except (ssl.SSLError, smtplib.SMTPNotSupportedError) as error:
        return Greeting(f"{type(error).__name__}: {error}", is_about_tls=True, is_here=is_here)
    except smtplib.SMTPResponseException as error:
        return Greeting(f"{error.smtp_code} {_readable(error.smtp_error)}", is_here=is_here)
    except (smtplib.SMTPException, OSError) as error:
        return Greeting(f"{type(error).__name__}: {error}", is_here=is_here)
    try:
        host.ehlo_or_helo_if_needed()
        return _heard(host, is_here=is_here)
    except (smtplib.SMTPException, OSError) as error:
        return Greeting(f"{type(error).__name__}: {error}", is_here=is_here)
    finally:
        with suppress(smtplib.SMTPException, OSError):
            host.quit()
        host.close()


def _heard(host: smtplib.SMTP, *, is_here: bool) -> Greeting:
    tls, expires_at = "", None
    if isinstance(host.sock, ssl.SSLSocket):
        tls = host.sock.version() or ""
        ends = (host.sock.getpeercert() or {}).get("notAfter")
        if isinstance(ends, str):
            expires_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC)
    return Greeting(
        tls=tls, expires_at=expires_at, features=tuple(sorted(host.esmtp_features)), is_here=is_here
    )


def _readable(text: bytes | str) -> str:
    return (text.decode("utf-8", "replace") if isinstance(text, bytes) else text)[:300]
