"""What tracking holds on a person: opens, clicks, and which links they followed."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from newsletter.db import bind_list, db, execute_dml, in_list, is_sqlite, table_of
from newsletter.db.batching import BatchSizer, People, ProgressCallback, ignore_progress
from newsletter.db.id_bitmap import in_bitmap, in_people
from newsletter.subscribers.models import Subscriber, TrackingState
from newsletter.tracking.models import Event, Link, LinkReader, RecentClick
from newsletter.tracking.queries import event_id_bounds, event_ids_of

#: Event ids scanned in one transaction at first: a scan by id is the cheapest way to find many people's
#: events, and the write lock is held briefly.
BATCH_SIZE = 20_000
#: Advisory lock: shared by loaders, exclusive for an erasure, which so waits for loaders before it.
_ERASURE_LOCK = 7_305_420


def export(subscriber: Subscriber) -> dict[str, Any]:
    """Return every open and click kept of a person, oldest first."""
    events = db.session.execute(
        sa.select(Event, Link.url)
        .outerjoin(Link, sa.and_(Link.edition_id == Event.edition_id, Link.number == Event.link_number))
        .where(in_list(table_of(Event).c.id, "theirs", for_sqlite=is_sqlite()))
        .order_by(Event.id),
        {"theirs": bind_list(event_ids_of([subscriber.id]))},
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


def erase(people: People, *, before: datetime | None = None, tell: ProgressCallback = ignore_progress) -> int:
    """Delete the events of these people, and all from before an instant; return how many.

    A few people are looked up by index; many take one scan by id. Commits in batches.
    """
    _block_new_hits(people)
    execute_dml(
        sa.delete(RecentClick).where(in_people(RecentClick.subscriber_id, people))
    )  # of minutes, so few
    db.session.commit()
    if before is None and isinstance(people, Sequence):
        return _erase_events(event_ids_of(people))
    going = in_bitmap(Event.subscriber_id, people)
    if before is not None:
        going = sa.or_(Event.at < before, going)
    first, last = event_id_bounds()
    db.session.rollback()
    low, deleted, sizer = first - 1, 0, BatchSizer(BATCH_SIZE)
    total = last - low
    while low < last:
        with sizer.batch() as size:
            deleted += execute_dml(sa.delete(Event).where(Event.id > low, Event.id <= low + size, going))
            db.session.commit()
        low += size
        tell(min(total, low + 1 - first), total)
    return deleted


def _erase_events(numbers: Sequence[int]) -> int:
    """Delete these events; return how many. Commits in batches."""
    db.session.rollback()
    done, deleted, sizer = 0, 0, BatchSizer(1000)
    these = sa.delete(Event).where(in_list(table_of(Event).c.id, "numbers", for_sqlite=is_sqlite()))
    while done < len(numbers):
        with sizer.batch() as size:
            deleted += execute_dml(these, {"numbers": bind_list(numbers[done : done + size])})
            db.session.commit()
        done += size
    return deleted


def erase_readers(
    people: People, *, old_editions: Collection[int] = (), tell: ProgressCallback = ignore_progress
) -> int:
    """Delete the readers of links: these people, and all of old editions; return how many.

    Scans the key link by link. Commits in batches.
    """
    links = db.session.execute(sa.select(Link.edition_id, Link.number).order_by(Link.edition_id)).all()
    readers = in_bitmap(LinkReader.subscriber_id, people)
    deleted, sizer = 0, BatchSizer(BATCH_SIZE)
    for done, (edition_id, number) in enumerate(links, start=1):
        link = sa.and_(LinkReader.edition_id == edition_id, LinkReader.number == number)
        low, last = (
            db.session.scalar(sa.select(end(LinkReader.subscriber_id)).where(link))
            for end in (sa.func.min, sa.func.max)
        )
        db.session.rollback()
        going = sa.true() if edition_id in old_editions else readers
        while low is not None and last is not None and low <= last:
            with sizer.batch() as size:
                these = LinkReader.subscriber_id.between(low, low + size - 1)
                deleted += execute_dml(sa.delete(LinkReader).where(link, these, going))
                db.session.commit()
            low += size
        tell(done, len(links))
    return deleted


def share_erasure_lock() -> None:
    """Take the shared lock of a transaction that stores hits, so that an erasure waits for its end."""
    if not is_sqlite():  # there is one writer at a time
        db.session.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(_ERASURE_LOCK)))


def _block_new_hits(people: People) -> None:
    """Refuse tracking for these people, as hits go on coming until their rows are deleted. Commits."""
    low, last, sizer = (
        0,
        db.session.scalar(sa.select(sa.func.max(Subscriber.id))) or 0,
        BatchSizer(BATCH_SIZE),
    )
    db.session.rollback()
    measured = sa.and_(in_people(Subscriber.id, people), Subscriber.tracking != TrackingState.REFUSED)
    while low < last:
        with sizer.batch() as size:
            these = Subscriber.id.between(low + 1, low + size)
            execute_dml(sa.update(Subscriber).where(these, measured).values(tracking=TrackingState.REFUSED))
            db.session.commit()
        low += size
    if not is_sqlite():
        db.session.execute(sa.select(sa.func.pg_advisory_xact_lock(_ERASURE_LOCK)))
        db.session.commit()
