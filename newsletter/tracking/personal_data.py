"""What tracking holds on a person: opens, clicks, and which links they followed."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from newsletter.db import change, db, is_sqlite
from newsletter.subscribers.models import Subscriber, TrackingState
from newsletter.tracking.models import Event, Link, LinkReader, RecentClick

#: Raw records looked through in one transaction: without an index, walking them by number is the
#: cheapest way to find some people's, and the write lock stays short.
WALK = 20_000
#: Held, shared, by whoever stores hits; an erasure waits until nobody who began before it does.
_TURN = 7_305_420


def export(subscriber: Subscriber) -> dict[str, Any]:
    """Return every open and click kept of a person, oldest first."""
    events = db.session.execute(
        sa.select(Event, Link.url)
        .outerjoin(Link, sa.and_(Link.edition_id == Event.edition_id, Link.number == Event.link_number))
        .where(Event.subscriber_id == subscriber.id)
        .order_by(Event.id)
    )
    return {
        "events": [
            {
                "at": event.at.isoformat(),
                "kind": event.kind.value,
                "campaign_id": event.campaign_id,
                "url": url,
                "ip": event.ip,
                "user_agent": event.user_agent,
                "class": event.machine_class.value,
            }
            for event, url in events
        ]
    }


def erase(subscriber_ids: Sequence[int]) -> int:
    """Delete these people's raw records and return how many. Commits after each piece of the walk."""
    people = set(subscriber_ids)
    _keep_out(people)
    _erase_readers(people)
    deleted = 0
    last = db.session.scalar(sa.select(sa.func.max(Event.id))) or 0
    low = (db.session.scalar(sa.select(sa.func.min(Event.id))) or 1) - 1
    db.session.rollback()
    while low < last:
        theirs = [
            event_id
            for event_id, subscriber_id in db.session.execute(
                sa.select(Event.id, Event.subscriber_id).where(Event.id > low, Event.id <= low + WALK)
            )
            if subscriber_id in people
        ]
        for start in range(0, len(theirs), 500):
            deleted += change(sa.delete(Event).where(Event.id.in_(theirs[start : start + 500])))
        db.session.commit()
        low += WALK
    return deleted


def forget_readers(edition_ids: Sequence[int]) -> None:
    """Forget who followed which link of these editions. Commits after each link."""
    links = sa.select(Link.edition_id, Link.number).where(Link.edition_id.in_(edition_ids))
    for edition_id, number in db.session.execute(links).all():
        change(sa.delete(LinkReader).where(LinkReader.edition_id == edition_id, LinkReader.number == number))
        db.session.commit()


def share_turn_of_erasure() -> None:
    """Say that this transaction stores hits, so that an erasure waits for its end."""
    if not is_sqlite():  # there is one writer at a time
        db.session.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(_TURN)))


def _keep_out(people: set[int]) -> None:
    """Let nothing more of these people be stored: hits go on coming until their rows are gone."""
    found = sorted(people)
    for start in range(0, len(found), 500):
        change(
            sa.update(Subscriber)
            .where(Subscriber.id.in_(found[start : start + 500]))
            .values(tracking=TrackingState.REFUSED)
        )
        db.session.commit()
    if not is_sqlite():
        db.session.execute(sa.select(sa.func.pg_advisory_xact_lock(_TURN)))
        db.session.commit()


def _erase_readers(people: set[int]) -> None:
    found = sorted(people)
    for start in range(0, len(found), 500):
        some = found[start : start + 500]
        change(sa.delete(LinkReader).where(LinkReader.subscriber_id.in_(some)))
        change(sa.delete(RecentClick).where(RecentClick.subscriber_id.in_(some)))
        db.session.commit()
