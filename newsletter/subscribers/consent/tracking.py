"""Whether opens and clicks of a person may be tracked: their choice, under the setting TRACKING.

The mode also decides what is asked: under ``notice`` tracking is the default, so pages inform about it and
the one box refuses; otherwise the box allows it.
"""

from dataclasses import dataclass
from datetime import datetime

from newsletter.config import current_settings
from newsletter.durable import restore_journal
from newsletter.durable.restore_journal import JournalEntry
from newsletter.errors import N_
from newsletter.subscribers.consent.evidence import Visit, record_consent
from newsletter.subscribers.consent.texts import (
    TRACKING_NOTICE,
    current_wording,
    get_consent_text,
    text_in_language,
)
from newsletter.subscribers.models import ConsentKind, Purpose, Subscriber, TrackingState

#: What a form posts as ``tracking``.
ALLOW, REFUSE = "yes", "no"

_REFUSE_LABEL = N_("Do not track my opens and clicks.")
#: Labels of TrackingState.UNKNOWN, by mode.
_UNKNOWN_LABELS = {
    "consent": N_("Not asked"),
    "aggregate": N_("Not asked: only counted, without the person"),
    "notice": N_("Tracked: told of it, and has not refused"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """What a page says and asks about tracking."""

    #: The text before the box; empty where its label is enough.
    told: str
    label: str
    #: What the ticked box posts: ALLOW or REFUSE.
    value: str


def states_allowing_tracking() -> frozenset[TrackingState]:
    """Return the states that allow tracking. REFUSED never does."""
    if current_settings().tracking == "off":
        return frozenset()
    if current_settings().tracking == "notice":
        return frozenset({TrackingState.GRANTED, TrackingState.UNKNOWN})
    return frozenset({TrackingState.GRANTED})


def tracking_question(language: str) -> Question | None:
    """Return the tracking box of a page in this language; None when TRACKING is off."""
    if current_settings().tracking == "off":
        return None
    if is_tracked_by_default():
        return Question(
            text_in_language(TRACKING_NOTICE, language), text_in_language(_REFUSE_LABEL, language), REFUSE
        )
    return Question("", get_consent_text(Purpose.TRACKING, language), ALLOW)


def is_tracked_by_default() -> bool:
    """Return whether people who have not chosen are tracked."""
    return current_settings().tracking == "notice"


def tracking_label(state: TrackingState) -> str:
    """Return the label of a state under the current mode, to be translated."""
    if current_settings().tracking == "off":
        return N_("Nothing is tracked")
    if state is TrackingState.UNKNOWN:
        return _UNKNOWN_LABELS[current_settings().tracking]
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
    """Record a choice about tracking; choosing the same again changes nothing."""
    state = TrackingState.GRANTED if granted else TrackingState.REFUSED
    if subscriber.tracking is state:
        return
    subscriber.tracking, subscriber.tracking_chosen_at = state, now
    record_consent(
        ConsentKind.CONFIRMED if granted else ConsentKind.WITHDRAWN,
        subscriber,
        wording_id=current_wording(Purpose.TRACKING, language, now).id if granted else None,
        now=now,
        method=method,
        visit=visit,
    )
    if not granted:
        # In the journal, so that a restored backup cannot undo it.
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
