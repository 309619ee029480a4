"""What tracking holds on a person: opens, clicks, and which links they followed."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from newsletter.db import among, change, db, is_sqlite, listed, table_of
from newsletter.db.batching import People, Stride, Tell, say_nothing
from newsletter.db.id_bitmap import marked, theirs
from newsletter.subscribers.models import Subscriber, TrackingState
from newsletter.tracking.models import Event, Link, LinkReader, RecentClick
from newsletter.tracking.queries import ends, numbers_of

#: Raw records looked through in one transaction at first: walking them by number is the cheapest way to
#: find many people's, and the write lock stays short.
WALK = 20_000
#: Held, shared, by whoever stores hits; an erasure waits until nobody who began before it does.
_TURN = 7_305_420


def export(subscriber: Subscriber) -> dict[str, Any]:
    """Return every open and click kept of a person, oldest first."""
    events = db.session.execute(
        sa.select(Event, Link.url)
        .outerjoin(Link, sa.and_(Link.edition_id == Event.edition_id, Link.number == Event.link_number))
        .where(among(table_of(Event).c.id, "theirs", for_sqlite=is_sqlite()))
        .order_by(Event.id),
        {"theirs": listed(numbers_of([subscriber.id]))},
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


def erase(people: People, *, before: datetime | None = None, tell: Tell = say_nothing) -> int:
    """Delete the raw records of these people, and all from before a moment; return how many.

    A few are looked up; one walk along the numbers serves any number of people. Commits in steps.
    """
    _keep_out(people)
    change(sa.delete(RecentClick).where(theirs(RecentClick.subscriber_id, people)))  # of minutes, so few
    db.session.commit()
    if before is None and isinstance(people, Sequence):
        return _erase_found(numbers_of(people))
    going = marked(Event.subscriber_id, people)
    if before is not None:
        going = sa.or_(Event.at < before, going)
    first, last = ends()
    db.session.rollback()
    low, deleted, stride = first - 1, 0, Stride(WALK)
    total = last - low
    while low < last:
        with stride.step() as size:
            deleted += change(sa.delete(Event).where(Event.id > low, Event.id <= low + size, going))
            db.session.commit()
        low += size
        tell(min(total, low + 1 - first), total)
    return deleted


def _erase_found(numbers: Sequence[int]) -> int:
    """Delete these raw records; return how many. Commits in steps."""
    db.session.rollback()
    done, deleted, stride = 0, 0, Stride(1000)
    these = sa.delete(Event).where(among(table_of(Event).c.id, "numbers", for_sqlite=is_sqlite()))
    while done < len(numbers):
        with stride.step() as size:
            deleted += change(these, {"numbers": listed(numbers[done : done + size])})
            db.session.commit()
        done += size
    return deleted


def erase_readers(people: People, *, old_editions: Collection[int] = (), tell: Tell = say_nothing) -> int:
    """Forget which links these people followed, and who followed those of old editions; return how many.

    Goes along the key, link by link. Commits in steps.
    """
    links = db.session.execute(sa.select(Link.edition_id, Link.number).order_by(Link.edition_id)).all()
    readers = marked(LinkReader.subscriber_id, people)
    deleted, stride = 0, Stride(WALK)
    for done, (edition_id, number) in enumerate(links, start=1):
        link = sa.and_(LinkReader.edition_id == edition_id, LinkReader.number == number)
        low, last = (
            db.session.scalar(sa.select(end(LinkReader.subscriber_id)).where(link))
            for end in (sa.func.min, sa.func.max)
        )
        db.session.rollback()
        going = sa.true() if edition_id in old_editions else readers
        while low is not None and last is not None and low <= last:
            with stride.step() as size:
                these = LinkReader.subscriber_id.between(low, low + size - 1)
                deleted += change(sa.delete(LinkReader).where(link, these, going))
                db.session.commit()
            low += size
        tell(done, len(links))
    return deleted


def share_turn_of_erasure() -> None:
    """Say that this transaction stores hits, so that an erasure waits for its end."""
    if not is_sqlite():  # there is one writer at a time
        db.session.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(_TURN)))


def _keep_out(people: People) -> None:
    """Let nothing more of these people be stored: hits go on coming until their rows are gone."""
    low, last, stride = 0, db.session.scalar(sa.select(sa.func.max(Subscriber.id))) or 0, Stride(WALK)
    db.session.rollback()
    measured = sa.and_(theirs(Subscriber.id, people), Subscriber.tracking != TrackingState.REFUSED)
    while low < last:
        with stride.step() as size:
            these = Subscriber.id.between(low + 1, low + size)
            change(sa.update(Subscriber).where(these, measured).values(tracking=TrackingState.REFUSED))
            db.session.commit()
        low += size
    if not is_sqlite():
        db.session.execute(sa.select(sa.func.pg_advisory_xact_lock(_TURN)))
        db.session.commit()
