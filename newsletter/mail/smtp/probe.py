"""A probe of the mail server: connect, TLS, log in, QUIT."""

import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import current_app

from newsletter.config import current_settings
from newsletter.config.parsers import is_loopback
from newsletter.mail.smtp.client import LoginUnsupported, VerifiedConnection

#: At most; somebody may wait for the result.
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What the probe found."""

    #: What went wrong, in the library's or the server's words; empty when nothing did.
    problem: str = ""
    #: True when the connection could not be encrypted, or the certificate is not to be trusted.
    is_tls_problem: bool = False
    #: True when a user name is set and the server offers no login that we can use.
    is_login_problem: bool = False
    #: The version of TLS that is spoken; empty without encryption.
    tls: str = ""
    #: When the certificate ends; None without one.
    expires_at: datetime | None = None
    #: What it offers, as its answer to EHLO names it.
    features: tuple[str, ...] = ()
    #: The server's host is this machine: what is said to it passes no network.
    is_loopback_host: bool = False


class _ProbeConnection(VerifiedConnection):
    """A connection with a shorter time-out than that of sending."""

    @property
    def timeout_seconds(self) -> float:
        return min(_TIMEOUT_SECONDS, current_settings().mail_timeout)


def probe_server() -> ProbeResult:
    """Connect, encrypt and log in as for sending, and quit. Errors are in the result."""
    is_loopback_host = is_loopback(current_settings().mail_server)
    try:
        host = _ProbeConnection(current_app.extensions["mail"]).configure_host()
    except LoginUnsupported as error:
        return ProbeResult(str(error), is_login_problem=True, is_loopback_host=is_loopback_host)
    except (ssl.SSLError, smtplib.SMTPNotSupportedError) as error:
        return ProbeResult(
            f"{type(error).__name__}: {error}", is_tls_problem=True, is_loopback_host=is_loopback_host
        )
    except smtplib.SMTPResponseException as error:
        return ProbeResult(
            f"{error.smtp_code} {_readable(error.smtp_error)}", is_loopback_host=is_loopback_host
        )
    except (smtplib.SMTPException, OSError) as error:
        return ProbeResult(f"{type(error).__name__}: {error}", is_loopback_host=is_loopback_host)
    try:
        host.ehlo_or_helo_if_needed()
        return _result_of(host, is_loopback_host=is_loopback_host)
    except (smtplib.SMTPException, OSError) as error:
        return ProbeResult(f"{type(error).__name__}: {error}", is_loopback_host=is_loopback_host)
    finally:
        with suppress(smtplib.SMTPException, OSError):
            host.quit()
        host.close()


def _result_of(host: smtplib.SMTP, *, is_loopback_host: bool) -> ProbeResult:
    tls, expires_at = "", None
    if isinstance(host.sock, ssl.SSLSocket):
        tls = host.sock.version() or ""
        ends = (host.sock.getpeercert() or {}).get("notAfter")
        if isinstance(ends, str):
            expires_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC)
    return ProbeResult(
        tls=tls,
        expires_at=expires_at,
        features=tuple(sorted(host.esmtp_features)),
        is_loopback_host=is_loopback_host,
    )


def _readable(text: bytes | str) -> str:
    return (text.decode("utf-8", "replace") if isinstance(text, bytes) else text)[:300]
