"""The copy of a person's data in words. What has no words yet is shown under its own name."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from newsletter.errors import N_
from newsletter.i18n import NATIVE_NAMES, format_datetime, translate

HEADINGS = {
    "subscriptions": N_("Subscriptions"),
    "consents": N_("Consents: what you asked for, confirmed and withdrew"),
    "address_changes": N_("Changes of address"),
    "deliveries": N_("Newsletters sent to you"),
    "events": N_("Opens and clicks"),
}
NAMES = {
    "address": N_("E-mail address"),
    "language": N_("Language"),
    "tracking": N_("Open and click tracking"),
    "since": N_("Known since"),
    "copied_at": N_("Copied"),
    "list": N_("List"),
    "list_id": N_("Number of the list"),
    "campaign_id": N_("Number of the newsletter"),
    "status": N_("Status"),
    "confirmed_at": N_("Confirmed"),
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
    "first_open_at": N_("First opened"),
    "first_click_at": N_("First clicked"),
    "url": N_("Link"),
    "class": N_("Made by"),
}
VALUES = {
    "granted": N_("Allowed"),
    "refused": N_("Refused"),
    "unknown": N_("Not chosen"),
    "pending": N_("Waiting for confirmation"),
    "confirmed": N_("Confirmed"),
    "unsubscribed": N_("You have left"),
    "asked": N_("Asked for"),
    "withdrawn": N_("Withdrawn"),
    "newsletter": N_("Newsletter"),
    "tracking": N_("Open and click tracking"),
    "accepted": N_("Accepted"),
    "open": N_("Open"),
    "click": N_("Click"),
    "human": N_("Reader"),
    "proxy": N_("Mail proxy"),
    "scanner": N_("Security scanner"),
}
#: Fields that say one of VALUES; another may hold the same letters and mean them.
_CHOSEN = {"tracking", "status", "kind", "purpose", "class"}


@dataclass(frozen=True, slots=True)
class Section:
    """One heading and its records, each a list of names and values."""

    heading: str
    records: list[list[tuple[str, str]]]


def sections(data: dict[str, Any]) -> list[Section]:
    """Return the copy in the language in force, the person first."""
    own = {name: value for name, value in data.items() if not isinstance(value, list)}
    lists = {name: value for name, value in data.items() if isinstance(value, list)}
    return [
        Section(translate(N_("You")), [_record(own)]),
        *(
            Section(_word(HEADINGS, name), [_record(record) for record in records])
            for name, records in lists.items()
        ),
    ]


def _record(fields: dict[str, Any]) -> list[tuple[str, str]]:
    return [(_word(NAMES, name), _value(name, value)) for name, value in fields.items() if value is not None]


def _value(name: str, value: object) -> str:
    if name == "language":
        return NATIVE_NAMES.get(str(value), str(value))
    if name in {"at", "since"} or name.endswith("_at"):
        return format_datetime(datetime.fromisoformat(str(value)))
    return _word(VALUES, str(value)) if name in _CHOSEN else str(value)


def _word(known: dict[str, str], name: str) -> str:
    return translate(known[name]) if name in known else name
