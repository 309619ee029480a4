"""What each relay's events mean, by its own public documentation. Their words are judged by the one table.

Each reader returns what one event says, None where it is of no interest here, and raises ``KeyError``
or ``UnknownEvent`` where it is nothing that its documentation names.
"""

import json
import re
from typing import Any

from newsletter.bounces.models import ReportKind
from newsletter.bounces.parser import Report, complaint, judged
from newsletter.mail.replies.models import Said, Stage

_SHORT = 500
#: What needs no row: the mail is on its way, arrived, or was looked at, which we see ourselves.
_FINE = {
    "accepted", "delivered", "delivery", "opened", "open", "clicked", "click", "stored", "processed", "send",
    "request", "sent", "unique_opened", "proxy_open", "unique_proxy_open", "list_addition",
    "group_resubscribe", "opens", "resubscribed",
}  # fmt: skip


class UnknownEvent(Exception):
    """No event that the relay's documentation names."""


def of_action(item: dict[str, Any]) -> Report | None:
    """Read an object of action, return_path or message_id, status and text, from a program of one's own."""
    naming = [str(item.get("return_path") or ""), str(item.get("message_id") or "")]
    match item["action"]:
        case "failed":
            return _came_back("json", "failed", naming, item.get("status"), item.get("text"))
        case "delayed":
            return _late(naming, item.get("status"), item.get("text"))
        case "complaint":
            return complaint(item.get("feedback_type"), naming)
        case "unsubscribe":
            return _left(naming)
        case _:
            raise UnknownEvent


def of_mailgun(data: dict[str, Any]) -> Report | None:  # noqa: PLR0911 - an event a line
    """Read ``event-data``."""
    event = data["event-data"]
    naming = [
        str((event.get("envelope") or {}).get("sender", "")),
        str(((event.get("message") or {}).get("headers") or {}).get("message-id", "")),
    ]
    said = event.get("delivery-status") or {}
    text = " ".join(str(said[name]) for name in ("code", "message", "description") if said.get(name))
    match event["event"]:
        case "failed" if _is(said, event, "607", "suppress-complaint"):
            return complaint("abuse", naming)
        case "failed" if _is(said, event, "606", "suppress-unsubscribe"):
            return _left(naming)
        case "failed" if _is(said, event, "605", "suppress-bounce"):
            return _came_back("mailgun", "605", naming, None, text)
        case "failed" if event.get("severity") == "temporary":
            return _late(naming, said.get("enhanced-code"), text)
        case "failed":
            return _came_back("mailgun", "failed", naming, said.get("enhanced-code"), text)
        case "rejected":
            why = str((event.get("reject") or {}).get("reason") or "")
            return _came_back("mailgun", "rejected", naming, None, why)
        case "complained":
            return complaint("abuse", naming)
        case "unsubscribed":
            return _left(naming)
        case name:
            return _nothing(name)


def _is(said: dict[str, Any], event: dict[str, Any], code: str, reason: str) -> bool:
    return str(said.get("code")) == code or event.get("reason") == reason


def of_postmark(data: dict[str, Any]) -> Report | None:  # noqa: PLR0911 - an event a line
    """Read a bounce, a complaint or a change of subscription."""
    metadata = data.get("Metadata") or {}
    naming = [f"<{metadata.get('message', '')}@postmark>", str(data.get("Content") or "")]
    kind, text = str(data.get("Type", "")), f"{data.get('Details') or ''} {data.get('Description') or ''}"
    match data["RecordType"]:
        case "SpamComplaint":
            return complaint("abuse", naming)
        case "SubscriptionChange":
            return _postmark_change(data, naming)
        case "Bounce" if kind == "SpamComplaint":
            return complaint("abuse", naming)
        case "Bounce" if kind in {"Unsubscribe", "ManuallyDeactivated"}:
            return _left(naming) if kind == "Unsubscribe" else None
        case "Bounce" if kind in {"Transient", "DnsError", "SoftBounce", "Undeliverable"}:
            return _came_back("postmark", kind, naming, None, text)
        case "Bounce":
            return _came_back("postmark", kind, naming, None, text)
        case name:
            return _nothing(name)


def _postmark_change(data: dict[str, Any], naming: list[str]) -> Report | None:
    if not data.get("SuppressSending"):
        return None  # an address may be written to again there; here the person decides
    match data.get("SuppressionReason"):
        case "SpamComplaint":
            return complaint("abuse", naming)
        case "HardBounce":
            return _came_back("postmark", "HardBounce", naming, None, "")
        case _ if data.get("Origin") in {None, "Recipient"}:
            return _left(naming)
        case _:
            return None


def of_sendgrid(event: dict[str, Any]) -> Report | None:  # noqa: PLR0911 - an event a line
    """Read one event of the list."""
    naming = [str(event.get("smtp-id", ""))]
    status, text = event.get("status"), str(event.get("reason") or event.get("response") or "")
    given = event.get("bounce_classification")
    match event["event"]:
        case "bounce":
            word = "blocked" if event.get("type") == "blocked" else "bounce"
            return _came_back("sendgrid", f"{word}/{given}" if given else word, naming, status, text)
        case "blocked":
            return _came_back("sendgrid", "blocked", naming, status, text)
        case "dropped" if "unsubscribed address" in text.lower():
            return _left(naming)
        case "dropped" if "spam reporting address" in text.lower():
            return complaint("abuse", naming)
        case "dropped":
            return _came_back("sendgrid", "dropped", naming, status, text)
        case "deferred":
            return _late(naming, status, text)
        case "spamreport":
            return complaint("abuse", naming)
        case "unsubscribe" | "group_unsubscribe":
            return _left(naming)
        case name:
            return _nothing(name)


def of_brevo(data: dict[str, Any]) -> Report | None:
    """Read one event."""
    naming, text = [str(data.get("message-id", ""))], str(data.get("reason") or "")
    match data["event"]:
        case "hard_bounce" | "invalid_email" | "soft_bounce" | "blocked" | "error" as word:
            return _came_back("brevo", word, naming, None, text)
        case "deferred":
            return _late(naming, None, text)
        case "spam" | "complaint":
            return complaint("abuse", naming)
        case "unsubscribed" | "unsubscribe":
            return _left(naming)
        case name:
            return _nothing(name)


def of_ses(data: dict[str, Any]) -> Report | None:  # noqa: PLR0911 - an event a line
    """Read what SNS hands over: an event of SES, or a sentence about the topic."""
    if data["Type"] != "Notification":
        return None
    try:
        said = json.loads(data["Message"])
    except ValueError:
        if "success" in data["Message"].lower():
            return None  # "Successfully validated SNS topic …"
        raise UnknownEvent from None
    mail, kind = said.get("mail") or {}, said.get("notificationType") or said.get("eventType")
    headers = [
        str(item.get("value")) for item in mail.get("headers") or [] if item.get("name") == "Message-ID"
    ]
    naming = [str(mail.get("source", "")), *headers]
    match kind:
        case "Complaint":
            return complaint(said["complaint"].get("complaintFeedbackType"), naming)
        case "Bounce":
            bounce = said["bounce"]
            (first, *_others) = bounce.get("bouncedRecipients") or [{}]
            word = f"{bounce.get('bounceType')}/{bounce.get('bounceSubType')}"
            return _came_back("ses", word, naming, first.get("status"), first.get("diagnosticCode"))
        case "DeliveryDelay":
            return _late(naming, None, (said.get("deliveryDelay") or {}).get("delayType"))
        case "Reject":
            return _came_back("ses", "Reject", naming, None, (said.get("reject") or {}).get("reason"))
        case "Subscription":
            chosen = (said.get("subscription") or {}).get("newTopicPreferences") or {}
            return _left(naming) if chosen.get("unsubscribeAll") else None
        case name:
            return _nothing(name)


def _nothing(name: object) -> Report | None:
    if str(name).lower() in _FINE:
        return None
    raise UnknownEvent


def _left(naming: list[str]) -> Report:
    return Report(ReportKind.UNSUBSCRIBE, reason="unsubscribe", naming=naming)


def _came_back(by: str, word: str, naming: list[str], status: object, text: object) -> Report:
    """Judge by our own table; the relay's word counts there, too."""
    said = re.sub(r"^(?:smtp|x-\w+); ?", "", str(text or "").replace("\0", ""))
    return judged(Said(Stage.WEBHOOK, said, status=_number(status), by=by, word=word), naming)


def _late(naming: list[str], status: object, text: object) -> Report:
    said = str(text or "").replace("\0", "")[:_SHORT]
    return Report(ReportKind.DELAYED, _number(status), "delayed", said, naming=naming)


def _number(status: object) -> str | None:
    return str(status) if status and re.fullmatch(r"[245](?:\.\d{1,3}){2}", str(status)) else None
