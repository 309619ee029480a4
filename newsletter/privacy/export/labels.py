"""Labels for a data export. A field or value without a label is shown under its own name."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from newsletter.errors import N_
from newsletter.privacy.audit_log.action_labels import action_label
from newsletter.privacy.proof.consent import METHOD_LABELS
from newsletter.privacy.requests.register import CHANNEL_LABELS, REFUSAL_REASONS, STATUS_LABELS
from newsletter.subscribers.consent.tracking import tracking_label
from newsletter.subscribers.models import TrackingState
from newsletter.subscribers.objections import SCOPE_LABELS
from newsletter.web.i18n import NATIVE_NAMES, format_datetime, translate

SECTION_LABELS = {
    "subscriptions": N_("Subscriptions"),
    "consents": N_("Consents: what you asked for, confirmed and withdrew"),
    "address_changes": N_("Changes of address"),
    "deliveries": N_("Newsletters sent to you"),
    "bounces": N_("Mails to you that came back"),
    "complaints": N_("Mails you called spam"),
    "events": N_("Opens and clicks"),
    "requests": N_("Your requests about your data"),
    "disclosures": N_("To whom your data was given"),
    "holds": N_("Reasons why your data must stay"),
    "statements": N_("What you say is wrong in the evidence"),
    "told": N_("Who was told of your request"),
    "bans": N_("What you have objected to"),
    "acts": N_("What was done to your data"),
}
FIELD_LABELS = {
    "address": N_("E-mail address"),
    "language": N_("Language"),
    "tracking": N_("Open and click tracking"),
    "since": N_("Known since"),
    "copied_at": N_("Copied"),
    "list": N_("List"),
    "wording": N_("Words you agreed to"),
    "notice_version": N_("Version of the privacy notice"),
    "is_measured": N_("Opens and clicks are tracked"),
    "tracking_chosen_at": N_("Choice about tracking made"),
    "restricted_at": N_("Restricted since"),
    "subject": N_("Subject"),
    "number": N_("Number of the request"),
    "received_at": N_("Received"),
    "channel": N_("Channel"),
    "details": N_("What you wrote"),
    "decided_at": N_("Answered"),
    "reason": N_("Reason"),
    "reason_text": N_("Explanation"),
    "extension_reason": N_("Why it took longer"),
    "reply": N_("Our answer"),
    "recipient": N_("Recipient"),
    "what": N_("What"),
    "why": N_("Why"),
    "ground": N_("Legal ground"),
    "text": N_("Explanation"),
    "created_at": N_("Since"),
    "ended_at": N_("Until"),
    "request": N_("Request"),
    "done_at": N_("Told"),
    "letter": N_("Letter"),
    "scope": N_("Objection to"),
    "action": N_("Act"),
    "actor": N_("By"),
    "about": N_("More about it"),
    "campaign_id": N_("Number of the newsletter"),
    "status": N_("Status"),
    "confirmed_at": N_("Confirmed"),
    "address_confirmed_at": N_("The right address was confirmed"),
    "unsubscribed_at": N_("Left"),
    "kind": N_("Event"),
    "purpose": N_("Purpose"),
    "at": N_("Time"),
    "method": N_("How"),
    "form_url": N_("Page"),
    "ip": N_("IP address"),
    "user_agent": N_("Browser or mail program"),
    "source": N_("Source"),
    "proof": N_("Proof"),
    "new_address": N_("New address"),
    "asked_at": N_("Asked for"),
    "accepted_at": N_("Accepted"),
    "reply_code": N_("Code of the server"),
    "reply_status": N_("Status of the server"),
    "reply_text": N_("What the server said"),
    "message": N_("The message"),
    "first_open_at": N_("First opened"),
    "first_click_at": N_("First clicked"),
    "url": N_("Link"),
    "class": N_("Made by"),
}
VALUE_LABELS = {
    "granted": N_("Allowed"),
    "unknown": N_("Not chosen"),
    "refused": N_("Refused"),
    "pending": N_("Waiting for confirmation"),
    "confirmed": N_("Confirmed"),
    "unsubscribed": N_("You have left"),
    "asked": N_("Asked for"),
    "withdrawn": N_("Withdrawn"),
    "newsletter": N_("Newsletter"),
    "tracking": N_("Open and click tracking"),
    "queued": N_("Queued"),
    "sending": N_("On its way"),
    "accepted": N_("Accepted"),
    "deferred": N_("Will be tried again"),
    "failed": N_("Failed"),
    "skipped": N_("Left out"),
    "uncertain": N_("Uncertain"),
    "bounced": N_("Bounced"),
    "complained": N_("You reported it as spam"),
    "hard": N_("There is no such mailbox"),
    "soft": N_("It did not work for now"),
    "ours": N_("Turned away because of us"),
    "delayed": N_("On its way, late"),
    "auto_reply": N_("Automatic reply"),
    "challenge": N_("Asked for proof of a person"),
    "notice": N_("Notice"),
    "unsubscribe": N_("Leaving by mail"),
    "complaint": N_("You reported it as spam"),
    "unreadable": N_("Could not be read"),
    "abuse": N_("Spam"),
    "open": N_("Open"),
    "click": N_("Click"),
    "human": N_("Reader"),
    "proxy": N_("Mail proxy"),
    "apple_mpp": N_("Apple Mail Privacy Protection"),
    "apple_suspected": N_("Apple Mail Privacy Protection, suspected"),
    "scanner": N_("Security scanner"),
    "bot": N_("Program"),
    "access": N_("Access to one's data"),
    "portability": N_("Data in a portable form"),
    "rectification": N_("Rectification"),
    "erasure": N_("Erasure"),
    "restriction": N_("Restriction"),
    "objection": N_("Objection (ban)"),
    **SCOPE_LABELS,
    "staff": N_("Our staff"),
    "person": N_("You yourself"),
    "console": N_("Our staff"),
    "system": N_("The program"),
}
#: Fields that say one of VALUES; another may hold the same letters and mean them.
_ENUM_FIELDS = {"status", "kind", "purpose", "class", "scope", "actor"}
#: Fields with words of their own, and those of a request, whose "open" is no opened mail.
_OWN_VALUE_LABELS = {"method": METHOD_LABELS, "channel": CHANNEL_LABELS, "reason": REFUSAL_REASONS}
_REQUEST_VALUE_LABELS = {"status": {status.value: words for status, words in STATUS_LABELS.items()}}


@dataclass(frozen=True, slots=True)
class DataSection:
    """One heading and its records, each a list of names and values."""

    heading: str
    records: list[list[tuple[str, str]]]


def data_sections(data: dict[str, Any]) -> list[DataSection]:
    """Return the copy in the language in force, the person first."""
    own = {name: value for name, value in data.items() if not isinstance(value, list)}
    lists = {name: value for name, value in data.items() if isinstance(value, list)}
    return [
        DataSection(translate(N_("You")), [_label_record(own, _OWN_VALUE_LABELS)]),
        *(
            DataSection(
                _label(SECTION_LABELS, name),
                [
                    _label_record(
                        record,
                        _OWN_VALUE_LABELS | _REQUEST_VALUE_LABELS
                        if name == "requests"
                        else _OWN_VALUE_LABELS,
                    )
                    for record in records
                ],
            )
            for name, records in lists.items()
        ),
    ]


def _label_record(fields: dict[str, Any], own: dict[str, dict[str, str]]) -> list[tuple[str, str]]:
    return [
        (_label(FIELD_LABELS, name), _label_value(name, value, own))
        for name, value in fields.items()
        if value is not None
    ]


def _label_value(name: str, value: object, own: dict[str, dict[str, str]]) -> str:
    if name in own:
        return _label(own[name], str(value))
    if name == "tracking" or isinstance(value, bool):
        return translate(_choice(value))
    if name == "language":
        return NATIVE_NAMES.get(str(value), str(value))
    if name in {"at", "since"} or name.endswith("_at"):
        return format_datetime(datetime.fromisoformat(str(value)))
    if name == "action":
        return action_label(str(value))
    return _label(VALUE_LABELS, str(value)) if name in _ENUM_FIELDS else str(value)


def _choice(value: object) -> str:
    if isinstance(value, bool):
        return N_("Yes") if value else N_("No")
    return tracking_label(TrackingState(value))


def _label(known: dict[str, str], name: str) -> str:
    return translate(known[name]) if name in known else name
