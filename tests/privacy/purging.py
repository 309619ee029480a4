"""January in the tests of the purge, and what is there before and after it."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from newsletter.db import db
from newsletter.privacy.retention.purge import REPORTED_KINDS
from newsletter.subscribers.models import Subscriber, SubscriptionStatus
from newsletter.tracking.models import Event, EventKind, MachineClass

LEFT, PENDING = SubscriptionStatus.UNSUBSCRIBED, SubscriptionStatus.PENDING
#: 15 January 2027, 3.00 in Helsinki: when the run of the year is due.
DUE = datetime(2027, 1, 15, 1, 0, tzinfo=UTC)


def addresses() -> list[str]:
    """Return who is still there."""
    db.session.rollback()
    return list(db.session.scalars(sa.select(Subscriber.address).order_by(Subscriber.address)))


def event_times() -> list[datetime]:
    """Return when the raw records were made that are still there."""
    db.session.rollback()
    return list(db.session.scalars(sa.select(Event.at).order_by(Event.at)))


def event_row(at: datetime, subscriber_id: int = 4711) -> dict[str, Any]:
    """Return a raw record as the loader stores it."""
    return {
        "at": at,
        "campaign_id": 1,
        "edition_id": 1,
        "subscriber_id": subscriber_id,
        "kind": EventKind.OPEN,
        "ip": "203.0.113.7",
        "user_agent": "Thunderbird",
        "machine_class": MachineClass.HUMAN,
        "rules_version": 1,
    }


def report(**numbers: int) -> dict[str, int]:
    """Return what a run counts: these, and nothing of the other kinds."""
    return dict.fromkeys(REPORTED_KINDS, 0) | numbers
