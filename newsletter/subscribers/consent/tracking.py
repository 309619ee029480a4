"""Whose opens and clicks may be measured: what a person said, under the mode the operator chose.

The mode decides what is asked as well: where silence is measured, nobody is asked to allow it. There
the pages tell of it, and the one box refuses.
"""

from dataclasses import dataclass
from datetime import datetime

from newsletter.config import current_settings
from newsletter.durable import restore_journal
from newsletter.durable.restore_journal import JournalEntry
from newsletter.errors import N_
from newsletter.subscribers.consent.evidence import Visit, record_consent
from newsletter.subscribers.consent.texts import TRACKING_TOLD, shown_wording, text_in, wording_text
from newsletter.subscribers.models import ConsentKind, Purpose, Subscriber, TrackingState

#: What a form posts as ``tracking``.
ALLOW, REFUSE = "yes", "no"

_REFUSE_LABEL = N_("Do not track my opens and clicks.")
#: What somebody who has said nothing is told of themselves, by mode.
_SILENT = {
    "consent": N_("Not asked"),
    "aggregate": N_("Not asked: only counted, without the person"),
    "notice": N_("Tracked: told of it, and has not refused"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """What a page says and asks about tracking."""

    #: What is told before the box; empty where the box says it all.
    told: str
    label: str
    #: What the ticked box posts: ALLOW or REFUSE.
    value: str


def measured_states() -> frozenset[TrackingState]:
    """Return the states that allow measuring. Who refused is measured in no mode."""
    if current_settings().tracking == "off":
        return frozenset()
    if current_settings().tracking == "notice":
        return frozenset({TrackingState.GRANTED, TrackingState.UNKNOWN})
    return frozenset({TrackingState.GRANTED})


def question(language: str) -> Question | None:
    """Return what a page in this language asks under the mode in force; None where nothing is measured."""
    if current_settings().tracking == "off":
        return None
    if silence_is_measured():
        return Question(text_in(TRACKING_TOLD, language), text_in(_REFUSE_LABEL, language), REFUSE)
    return Question("", wording_text(Purpose.TRACKING, language), ALLOW)


def silence_is_measured() -> bool:
    """Tell whether the mode measures whoever has not refused."""
    return current_settings().tracking == "notice"


def in_words(state: TrackingState) -> str:
    """Return what a choice means under the mode in force, to be translated."""
    if current_settings().tracking == "off":
        return N_("Nothing is tracked")
    if state is TrackingState.UNKNOWN:
        return _SILENT[current_settings().tracking]
    return N_("Allowed") if state is TrackingState.GRANTED else N_("Not allowed")


def choose_tracking(
    subscriber: Subscriber,
    *,
    granted: bool,
    language: str,
    now: datetime,
    visit: Visit,
    method: str = "page",
) -> None:
    """Record what a person says about measuring; saying the same again changes nothing."""
    state = TrackingState.GRANTED if granted else TrackingState.REFUSED
    if subscriber.tracking is state:
        return
    subscriber.tracking, subscriber.tracking_chosen_at = state, now
    record_consent(
        ConsentKind.CONFIRMED if granted else ConsentKind.WITHDRAWN,
        subscriber,
        wording_id=shown_wording(Purpose.TRACKING, language, now).id if granted else None,
        now=now,
        method=method,
        visit=visit,
    )
    if not granted:
        # Where a restored backup cannot undo it.
        restore_journal.append_before_commit(
            JournalEntry(
                now,
                subscriber.address_hash,
                restore_journal.REFUSED,
                subscriber.id,
                subscriber.created_at,
                {"method": method},
            )
        )
