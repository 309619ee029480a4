"""Webhooks of mail relays: signature checks and parsing of their reports, by their public documentation.

A report must contain our return path or Message-ID: the signature proves that the relay sent it, the
token that it is about a mail of ours.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from werkzeug.datastructures import Headers

from newsletter.bounces.models import ReportKind
from newsletter.bounces.parser import Report
from newsletter.bounces.sources import relay_events, sns
from newsletter.bounces.sources.relay_events import UnknownEvent
from newsletter.config import Settings
from newsletter.errors import N_, NewsletterError

#: The maximum age of a signed timestamp, either way.
_MAX_CLOCK_SKEW = timedelta(minutes=5)
#: The same for a relay that tries again for hours with the same stamp.
_QUARTER = timedelta(minutes=15)
#: Of an event that we do not know, kept for staff.
_KEPT = 20_000


class SignatureInvalid(NewsletterError):
    """The signature or credential is wrong."""

    message = N_("The signature is not valid.")


class ReportInvalid(NewsletterError):
    """The signature is valid, but the body is not in the documented format."""

    message = N_("The report cannot be read.")


@dataclass(frozen=True, slots=True)
class Relay:
    """Signature check and parser of one relay."""

    #: Returns the setting with its key; the webhook is closed while that is empty.
    key: Callable[[Settings], str]
    verify: Callable[[str, Headers, bytes, datetime], bool]
    #: What one event says; None where it is of no interest.
    read: Callable[[dict[str, Any]], Report | None]
    #: What may be taken once only.
    once: Callable[[bytes], str] | None = None


@dataclass(frozen=True, slots=True)
class Reported:
    """One event of a relay; ``raw`` is kept of one that we do not know."""

    reading: Report
    raw: bytes = b""


def read_reports(name: str, chosen: Settings, headers: Headers, body: bytes, now: datetime) -> list[Reported]:
    """Return what a relay reports, event by event: one that cannot be read costs itself only.

    Raises KeyError without its key, SignatureInvalid or ReportInvalid.
    """
    relay = RELAYS[name]
    key = relay.key(chosen)
    if not key:
        raise KeyError(name)
    try:
        if not relay.verify(key, headers, body, now):
            raise SignatureInvalid
        data = json.loads(body)
        if not isinstance(data, dict | list):
            raise ReportInvalid
        events = data if isinstance(data, list) else [data]
        return [found for event in events if (found := _read(relay, event)) is not None]
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise ReportInvalid from error


def once_of(name: str, body: bytes) -> str | None:
    """Return what a genuine call may be made with once only; None where calls have no such thing."""
    once = RELAYS[name].once
    return once(body) if once else None


def _read(relay: Relay, event: Any) -> Reported | None:  # noqa: ANN401 - whatever JSON they sent
    try:
        reading = relay.read(event)
    except (UnknownEvent, ValueError, TypeError, AttributeError, LookupError):
        kept = json.dumps(event, ensure_ascii=False)[:_KEPT].encode()
        return Reported(Report(ReportKind.UNREADABLE, reason="unknown_event"), kept)
    return Reported(reading) if reading is not None else None


# --- generic JSON of own programs ---------------------------------------------------------------------------


def _verify_json(key: str, headers: Headers, body: bytes, now: datetime) -> bool:
    """Check a Standard Webhooks signature."""
    stamp, number = headers.get("webhook-timestamp", ""), headers.get("webhook-id", "")
    if not stamp.isdigit() or abs(now.timestamp() - int(stamp)) > _MAX_CLOCK_SKEW.total_seconds():
        return False
    secret = base64.b64decode(key.removeprefix("whsec_")) if key.startswith("whsec_") else key.encode()
    signed = f"{number}.{stamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
    return any(
        _equal_in_constant_time(expected, given) for given in headers.get("webhook-signature", "").split()
    )


# --- relays -------------------------------------------------------------------------------------------


def _verify_mailgun(key: str, _headers: Headers, body: bytes, now: datetime) -> bool:
    given = json.loads(body)["signature"]
    if abs(now.timestamp() - int(given["timestamp"])) > _QUARTER.total_seconds():
        return False
    signed = f"{given['timestamp']}{given['token']}".encode()
    return _equal_in_constant_time(
        hmac.digest(key.encode(), signed, hashlib.sha256).hex(), str(given["signature"])
    )


def _token_of(body: bytes) -> str:
    return str(json.loads(body)["signature"]["token"])


def _verify_basic_auth(key: str, headers: Headers, _body: bytes, _now: datetime) -> bool:
    return _equal_in_constant_time(
        "Basic " + base64.b64encode(key.encode()).decode("ascii"), headers.get("Authorization", "")
    )


def _verify_sendgrid(key: str, headers: Headers, body: bytes, _now: datetime) -> bool:
    signature = headers.get("X-Twilio-Email-Event-Webhook-Signature", "")
    stamp = headers.get("X-Twilio-Email-Event-Webhook-Timestamp", "")
    public = load_der_public_key(base64.b64decode(key))
    if not isinstance(public, ec.EllipticCurvePublicKey):
        return False
    try:
        public.verify(base64.b64decode(signature), stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error):
        return False
    return True


def _verify_bearer_token(key: str, headers: Headers, _body: bytes, _now: datetime) -> bool:
    return _equal_in_constant_time(f"Bearer {key}", headers.get("Authorization", ""))


RELAYS = {
    "json": Relay(lambda chosen: chosen.hook_key, _verify_json, relay_events.of_action),
    "brevo": Relay(lambda chosen: chosen.hook_brevo_token, _verify_bearer_token, relay_events.of_brevo),
    "mailgun": Relay(
        lambda chosen: chosen.hook_mailgun_key, _verify_mailgun, relay_events.of_mailgun, _token_of
    ),
    "postmark": Relay(
        lambda chosen: chosen.hook_postmark_login, _verify_basic_auth, relay_events.of_postmark
    ),
    "sendgrid": Relay(lambda chosen: chosen.hook_sendgrid_key, _verify_sendgrid, relay_events.of_sendgrid),
    "ses": Relay(lambda chosen: chosen.hook_ses_topic, sns.verify, relay_events.of_ses),
}


def _equal_in_constant_time(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode())
