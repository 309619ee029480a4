"""A person's own opens and clicks: measurement is not for looking at people, so a look leaves a trace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from newsletter import audit
from newsletter.campaigns.models import Edition
from newsletter.db import db
from newsletter.subscribers.models import TrackingState
from newsletter.subscribers.queries import get_subscriber
from newsletter.tracking.classify import RELAYED
from newsletter.tracking.models import Event, EventKind, Link, MachineClass

#: As many as fit a page; the rest is in the copy of their data that a person may ask for.
MOST = 200


@dataclass(frozen=True, slots=True)
class Fetched:
    """One open or click. The address of a relay is not the reader's and is left out (TR-6)."""

    at: datetime
    kind: EventKind
    subject: str
    url: str | None
    ip: str | None
    made_by: MachineClass


@dataclass(frozen=True, slots=True)
class Person:
    """What one person said about measuring, and their newest opens and clicks."""

    tracking: TrackingState
    events: Sequence[Fetched]


def look_at(address: str, *, actor: str, now: datetime) -> Person:
    """Return a person's newest opens and clicks, and write into the log that someone looked.

    Raises AddressInvalid or UnknownSubscriber.
    """
    subscriber = get_subscriber(address)
    rows = db.session.execute(
        sa.select(Event.at, Event.kind, Edition.subject, Link.url, Event.ip, Event.machine_class)
        .join(Edition, Edition.id == Event.edition_id)
        .outerjoin(Link, sa.and_(Link.edition_id == Event.edition_id, Link.number == Event.link_number))
        .where(Event.subscriber_id == subscriber.id)
        .order_by(Event.id.desc())
        .limit(MOST)
    )
    events = [
        Fetched(at, kind, subject, url, None if made_by in RELAYED else ip, made_by)
        for at, kind, subject, url, ip, made_by in rows
    ]
    audit.record(
        "opens and clicks of a person shown", actor=actor, now=now, object=f"subscriber:{subscriber.id}"
    )
    return Person(subscriber.tracking, events)
