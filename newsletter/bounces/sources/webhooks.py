"""What mail relays report over the web, each by its own public documentation, made into one kind of report.

A relay that sends for us keeps our return path or our Message-ID, and one of the two has to stand in
its report: its signature says that the relay wrote it, the token that it is about a mail of ours.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from werkzeug.datastructures import Headers

from newsletter.bounces.classify import classify
from newsletter.bounces.models import Kind
from newsletter.bounces.parser import Reading
from newsletter.bounces.sources import sns
from newsletter.config import Settings
from newsletter.errors import N_, NewsletterError

#: How far the clock of a program that signs may be from ours.
_CLOCKS = timedelta(minutes=5)
_SHORT = 500


class SignatureInvalid(NewsletterError):
    """Somebody else wrote it."""

    message = N_("The signature is not valid.")


class ReportInvalid(NewsletterError):
    """It is signed, and not of the form that its documentation describes."""

    message = N_("The report cannot be read.")


@dataclass(frozen=True, slots=True)
class Relay:
    """How one relay signs, and what it reports."""

    #: Which setting opens it.
    key: Callable[[Settings], str]
    verify: Callable[[str, Headers, bytes, datetime], bool]
    read: Callable[[Any], list[Reading]]


def read_reports(name: str, chosen: Settings, headers: Headers, body: bytes, now: datetime) -> list[Reading]:
    """Return what a relay reports. Raises KeyError without its key, SignatureInvalid or ReportInvalid."""
    relay = RELAYS[name]
    key = relay.key(chosen)
    if not key:
        raise KeyError(name)
    try:
        if not relay.verify(key, headers, body, now):
            raise SignatureInvalid
        return relay.read(json.loads(body))
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise ReportInvalid from error


# --- a program of one's own ---------------------------------------------------------------------------


def _verify_json(key: str, headers: Headers, body: bytes, now: datetime) -> bool:
    """Check the signature of the Standard Webhooks convention."""
    stamp, number = headers.get("webhook-timestamp", ""), headers.get("webhook-id", "")
    if not stamp.isdigit() or abs(now.timestamp() - int(stamp)) > _CLOCKS.total_seconds():
        return False
    secret = base64.b64decode(key.removeprefix("whsec_")) if key.startswith("whsec_") else key.encode()
    signed = f"{number}.{stamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
    return any(_same(expected, given) for given in headers.get("webhook-signature", "").split())


def _read_json(data: Any) -> list[Reading]:  # noqa: ANN401 - whatever JSON they sent
    """Read objects of action, return_path or message_id, status and text; one, or a list of them."""
    return [_of_action(item) for item in (data if isinstance(data, list) else [data])]


def _of_action(item: dict[str, Any]) -> Reading:
    naming = [str(item.get("return_path") or ""), str(item.get("message_id") or "")]
    match item["action"]:
        case "failed":
            return _came_back(naming, item.get("status"), item.get("text"))
        case "delayed":
            return _late(naming, item.get("status"), item.get("text"))
        case "complaint":
            return _complaint(naming, item.get("feedback_type"))
        case _:
            raise ValueError("unknown action")


# --- relays -------------------------------------------------------------------------------------------


def _verify_mailgun(key: str, _headers: Headers, body: bytes, _now: datetime) -> bool:
    given = json.loads(body)["signature"]
    signed = f"{given['timestamp']}{given['token']}".encode()
    return _same(hmac.digest(key.encode(), signed, hashlib.sha256).hex(), str(given["signature"]))


def _read_mailgun(data: dict[str, Any]) -> list[Reading]:
    event = data["event-data"]
    naming = [
        str(event.get("envelope", {}).get("sender", "")),
        str(event.get("message", {}).get("headers", {}).get("message-id", "")),
    ]
    said = event.get("delivery-status") or {}
    text = " ".join(str(said[name]) for name in ("code", "message", "description") if said.get(name))
    if event["event"] == "failed":
        if event.get("severity") == "temporary":
            return [_late(naming, said.get("enhanced-code"), text)]
        return [_came_back(naming, said.get("enhanced-code"), text)]
    return [_complaint(naming, "abuse")] if event["event"] == "complained" else []


def _verify_login(key: str, headers: Headers, _body: bytes, _now: datetime) -> bool:
    return _same("Basic " + base64.b64encode(key.encode()).decode("ascii"), headers.get("Authorization", ""))


#: What they call an address that is no good.
_POSTMARK_HARD = {"HardBounce", "BadEmailAddress"}
_POSTMARK_OURS = {"SpamNotification", "Blocked", "DMARCPolicy", "VirusNotification", "SMTPApiError"}
_POSTMARK_OTHER = {"AutoResponder": Kind.AUTO_REPLY, "ChallengeVerification": Kind.CHALLENGE}


def _read_postmark(data: dict[str, Any]) -> list[Reading]:
    naming = [f"<{data.get('Metadata', {}).get('message', '')}@postmark>", str(data.get("Content") or "")]
    kind, text = str(data.get("Type", "")), f"{data.get('Details', '')} {data.get('Description', '')}"
    if data["RecordType"] == "SpamComplaint" or kind == "SpamComplaint":
        return [_complaint(naming, "abuse")]
    if data["RecordType"] != "Bounce":
        return []
    if kind in _POSTMARK_OTHER:
        return [Reading(_POSTMARK_OTHER[kind], reason=_POSTMARK_OTHER[kind].value, naming=naming)]
    if kind in _POSTMARK_OURS:
        return [Reading(Kind.OURS, None, "filtered", text[:_SHORT], naming=naming)]
    return [_came_back(naming, None, text, is_hard=kind in _POSTMARK_HARD)]


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


def _read_sendgrid(data: list[dict[str, Any]]) -> list[Reading]:
    return [found for event in data if (found := _of_sendgrid(event)) is not None]


def _of_sendgrid(event: dict[str, Any]) -> Reading | None:
    naming = [str(event.get("smtp-id", ""))]
    status, text = event.get("status"), str(event.get("reason") or event.get("response") or "")
    match event["event"]:
        case "bounce" if event.get("type") == "blocked":
            return _came_back(naming, status, text)
        case "bounce":
            return _came_back(naming, status, text, is_hard=True)
        case "dropped":
            is_hard = "bounced address" in text.lower() or "invalid" in text.lower()
            return _came_back(naming, status, text, is_hard=is_hard)
        case "deferred":
            return _late(naming, status, text)
        case "spamreport":
            return _complaint(naming, "abuse")
        case _:
            return None


def _verify_token(key: str, headers: Headers, _body: bytes, _now: datetime) -> bool:
    return _same(f"Bearer {key}", headers.get("Authorization", ""))


def _read_brevo(data: dict[str, Any]) -> list[Reading]:
    naming, text = [str(data.get("message-id", ""))], str(data.get("reason") or "")
    match data["event"]:
        case "hard_bounce" | "invalid_email":
            return [_came_back(naming, None, text, is_hard=True)]
        case "soft_bounce":
            return [_came_back(naming, None, text)]
        case "blocked" | "error":
            return [Reading(Kind.OURS, None, "filtered", text[:_SHORT], naming=naming)]
        case "deferred":
            return [_late(naming, None, text)]
        case "spam":
            return [_complaint(naming, "abuse")]
        case _:
            return []


#: "Permanent" holds content and size too; these are about the address.
_SES_HARD = {"NoEmail", "Suppressed", "OnAccountSuppressionList"}


def _read_ses(data: dict[str, Any]) -> list[Reading]:
    if data["Type"] != "Notification":
        return []
    said = json.loads(data["Message"])
    mail, kind = said.get("mail", {}), said.get("notificationType") or said.get("eventType")
    headers = [str(item.get("value")) for item in mail.get("headers", []) if item.get("name") == "Message-ID"]
    naming = [str(mail.get("source", "")), *headers]
    if kind == "Complaint":
        given = said["complaint"].get("complaintFeedbackType") or "abuse"
        return [_complaint(naming, given)]
    if kind != "Bounce":
        return []
    bounce = said["bounce"]
    (first, *_others) = bounce.get("bouncedRecipients") or [{}]
    is_hard = bounce.get("bounceType") == "Permanent" and bounce.get("bounceSubType") in _SES_HARD
    return [_came_back(naming, first.get("status"), first.get("diagnosticCode"), is_hard=is_hard)]


RELAYS = {
    "json": Relay(lambda chosen: chosen.hook_key, _verify_json, _read_json),
    "brevo": Relay(lambda chosen: chosen.hook_brevo_token, _verify_token, _read_brevo),
    "mailgun": Relay(lambda chosen: chosen.hook_mailgun_key, _verify_mailgun, _read_mailgun),
    "postmark": Relay(lambda chosen: chosen.hook_postmark_login, _verify_login, _read_postmark),
    "sendgrid": Relay(lambda chosen: chosen.hook_sendgrid_key, _verify_sendgrid, _read_sendgrid),
    "ses": Relay(lambda chosen: chosen.hook_ses_topic, sns.verify, _read_ses),
}


def _came_back(naming: list[str], status: object, text: object, *, is_hard: bool = False) -> Reading:
    """Judge by our own table; the relay's word counts where the server said nothing that is in it."""
    said, number = str(text or "").removeprefix("smtp; ").replace("\0", ""), _number(status)
    verdict = classify(number, said)
    if is_hard and verdict.reason == "other":
        return Reading(Kind.HARD, number, "relay", said[:_SHORT], naming=naming)
    return Reading(verdict.kind, number, verdict.reason, said[:_SHORT], naming=naming)


def _late(naming: list[str], status: object, text: object) -> Reading:
    said = str(text or "").replace("\0", "")[:_SHORT]
    return Reading(Kind.DELAYED, _number(status), "delayed", said, naming=naming)


def _number(status: object) -> str | None:
    return str(status) if status and re.fullmatch(r"[245](?:\.\d{1,3}){2}", str(status)) else None


def _complaint(naming: list[str], feedback_type: object) -> Reading:
    kind = re.sub(r"[^a-z-]", "", str(feedback_type or "abuse").lower())[:40]
    is_one = kind not in {"not-spam", "auth-failure"}
    return Reading(
        Kind.COMPLAINT if is_one else Kind.NOTICE, reason="feedback", feedback_type=kind, naming=naming
    )


def _same(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode())
