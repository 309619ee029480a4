"""Labels for the details of audit log entries: names of the fields, and meanings of the codes in them."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from newsletter.errors import N_
from newsletter.privacy.requests.register import CHANNEL_LABELS, KIND_LABELS, REFUSAL_REASONS
from newsletter.sending.views.undelivered import STATUS_LABELS
from newsletter.staff.views.account import ROLE_LABELS
from newsletter.subscribers.signup.manual import CONSENT_METHODS
from newsletter.web.i18n import NATIVE_NAMES, format_datetime, format_number, translate

#: Label of each detail.
DETAIL_LABELS = {
    "access_ended_again": N_("Access of staff ended again"),
    "added": N_("Added"),
    "after": N_("After"),
    "already": N_("There already"),
    "barred_again": N_("Blocked again"),
    "base": N_("Out of"),
    "before": N_("Before"),
    "breaches_unreported": N_("Breaches to report within a day"),
    "campaigns_paused": N_("Newsletters paused"),
    "changed": N_("Changed"),
    "channel": N_("Channel"),
    "confirmed": N_("Confirmed"),
    "count": N_("Number"),
    "deliveries": N_("Deliveries"),
    "due_soon": N_("Requests due soon"),
    "edition": N_("Language"),
    "words": N_("Words"),
    "ended": N_("Ended"),
    "entries": N_("Entries"),
    "erased_again": N_("Erased again"),
    "events": N_("Opens and clicks"),
    "facts": N_("Facts"),
    "faults": N_("Faults"),
    "findings": N_("Findings"),
    "kind": N_("Kind"),
    "left": N_("Left before"),
    "left_again": N_("Unsubscribed again"),
    "left_out_held": N_("Left out: on hold"),
    "left_out_objected": N_("Left out: objected, or restricted"),
    "left_out_restricted": N_("Left out: restricted"),
    "limit": N_("Limit"),
    "link_readers": N_("Readers of links"),
    "lists": N_("Lists"),
    "mails": N_("Mails"),
    "moved_held": N_("Held: the address has changed"),
    "not_sent": N_("Not sent"),
    "overdue": N_("Requests overdue"),
    "people": N_("People"),
    "proofs": N_("Proofs whose time is over"),
    "purpose": N_("Purpose"),
    "purge_missing": N_("Purge of the year missing"),
    "reason": N_("Reason"),
    "recipients": N_("Recipients"),
    "refused_again": N_("Measuring refused again"),
    "rejected": N_("Rejected"),
    "requests_again": N_("Requests entered again"),
    "requests": N_("Requests whose time is over"),
    "restricted": N_("Restricted"),
    "restricted_again": N_("Restricted again"),
    "role": N_("Level"),
    "rows": N_("Rows"),
    "scheduled_at": N_("Time of sending"),
    "schedules_held": N_("Schedules held back"),
    "scopes": N_("Scopes"),
    "status": N_("Status"),
    "subscriptions": N_("Subscriptions"),
    "suppressed": N_("Must not be written to"),
    "tells": N_("Tells of"),
    "version": N_("Version"),
    "way": N_("How the person asked"),
}
_ROLE_LABELS = {role.value: words for role, words in ROLE_LABELS.items()} | {"all": N_("All")}
#: Labels of the codes in the details.
VALUE_LABELS: Mapping[str, Mapping[str, str]] = {
    "after": _ROLE_LABELS,
    "before": _ROLE_LABELS,
    "channel": CHANNEL_LABELS,
    "edition": NATIVE_NAMES,
    "kind": {kind.value: words for kind, words in KIND_LABELS.items()},
    "reason": {
        **REFUSAL_REASONS,
        "bounces": N_("Too many mails came back"),
        "complaints": N_("Too many complaints"),
        "late": N_("Found too late"),
        "login": N_("The mail server does not accept our login"),
        "no_login": N_("The mail server offers no login"),
        "policy": N_("The mail server refuses us (5.7.x)"),
        "refused": N_("Turned away"),
        "tls": N_("No encryption to be had"),
        "unreachable": N_("The mail server cannot be reached"),
    },
    "role": _ROLE_LABELS,
    "status": {status.value: words for status, words in STATUS_LABELS.items()},
    "way": CONSENT_METHODS,
}


def describe_details(details: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return label and value of each detail in the current language; without a label as stored."""
    return list(_describe_details(details or {}))


def _describe_details(details: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in details.items():
        # A webhook's events are names, a purge's are a number of opens and clicks.
        known = "tells" if name == "events" and not isinstance(value, int) else name
        yield (
            (translate(DETAIL_LABELS[known]) if known in DETAIL_LABELS else name),
            _format_value(name, value),
        )


def _format_value(name: str, value: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, list):
        return ", ".join(_format_value(name, item) for item in value)
    if isinstance(value, int) and name != "version":
        return format_number(value)
    if name == "scheduled_at":
        return format_datetime(datetime.fromisoformat(value))
    words = VALUE_LABELS.get(name, {}).get(str(value))
    return translate(words) if words else str(value)
