"""One person's opens and clicks. Tracking is not meant for watching people, so each read is audited."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from newsletter.campaigns.models import Edition
from newsletter.db import db
from newsletter.ledger import audit
from newsletter.subscribers.models import TrackingState
from newsletter.subscribers.queries import get_subscriber
from newsletter.tracking.classify import RELAYED_CLASSES
from newsletter.tracking.models import Event, EventKind, Link, MachineClass
from newsletter.tracking.queries import event_ids_of

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class ActivityEvent:
    """One open or click. The address of a relay is not the reader's and is left out (TR-6)."""

    at: datetime
    kind: EventKind
    subject: str
    url: str | None
    ip: str | None
    made_by: MachineClass


@dataclass(frozen=True, slots=True)
class SubscriberActivity:
    """What one person said about measuring, and some of their opens and clicks, newest first."""

    tracking: TrackingState
    events: Sequence[ActivityEvent]
    #: The number below which older ones follow; None where none do.
    older: int | None


def read_activity(
    address: str, *, actor: str, now: datetime, before: int | None = None
) -> SubscriberActivity:
    """Return a page of a person's opens and clicks, and audit the read. The caller commits.

    ``before`` is where the page before it ended. Raises AddressInvalid or UnknownSubscriber.
    """
    subscriber = get_subscriber(address)
    numbers = event_ids_of([subscriber.id], before=before, most=PAGE_SIZE + 1)
    shown = numbers[:PAGE_SIZE]
    rows = db.session.execute(
        sa.select(Event.at, Event.kind, Edition.subject, Link.url, Event.ip, Event.machine_class)
        .join(Edition, Edition.id == Event.edition_id)
        .outerjoin(Link, sa.and_(Link.edition_id == Event.edition_id, Link.number == Event.link_number))
        .where(Event.id.in_(shown))
        .order_by(Event.id.desc())
    )
    events = [
        ActivityEvent(at, kind, subject, url, None if made_by in RELAYED_CLASSES else ip, made_by)
        for at, kind, subject, url, ip, made_by in rows
    ]
    audit.record(
        "opens and clicks of a person shown", actor=actor, now=now, object=f"subscriber:{subscriber.id}"
    )
    return SubscriberActivity(subscriber.tracking, events, shown[-1] if len(numbers) > PAGE_SIZE else None)
