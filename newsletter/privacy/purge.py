"""The January purge: everyone who left, and the raw opens and clicks of past years.

It takes who left before it started. It works in batches, so a kill loses nothing but time: the
next run goes on with whoever is still there. Totals stay, as plain numbers.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa

from newsletter import audit
from newsletter.config import settings
from newsletter.db import change, db, insert_or_ignore
from newsletter.errors import N_, NewsletterError
from newsletter.privacy.erasure import erase_people, scrub
from newsletter.privacy.models import JobSlot, PurgeRun
from newsletter.subscribers.models import Consent, Subscriber, Subscription, SubscriptionStatus
from newsletter.tracking.models import Event

log = logging.getLogger(__name__)

#: People erased in one go: one walk over the raw records serves them all.
BATCH = 5000
#: Raw records deleted in one transaction.
STEP = 20_000
JANUARY = 1
#: The run of a year begins on this day at this hour, in the business time zone.
DUE = (15, 3)


class NotJanuary(NewsletterError):
    """The purge has its month."""

    message = N_("The purge runs in January. Say --any-day to run it today.")


def purge(*, now: datetime, actor: str, any_day: bool = False) -> dict[str, int]:
    """Run the purge and return how many rows went, by kind. Commits as it goes.

    Raises NotJanuary outside January in the business time zone, unless ``any_day``.
    """
    if now.astimezone(settings().timezone).month != JANUARY and not any_day:
        raise NotJanuary
    run = PurgeRun(started_at=now)
    db.session.add(run)
    audit.record("purge started", actor=actor, now=now)
    db.session.commit()
    counts = {"people": 0, "deliveries": 0, "events": _delete_old_events(_start_of_year(now))}
    while people := _who_left(before=now, limit=BATCH):
        for kind, number in erase_people(people, now=now).items():
            counts[kind] += number
    change(sa.delete(Consent).where(Consent.keep_until <= now))  # proof whose time is over (RP-4)
    run.finished_at, run.counts = now, counts
    audit.record("purge finished", actor=actor, now=now, object=f"purge:{run.id}", **counts)
    db.session.commit()
    scrub()
    log.info("purge finished", extra=counts)
    return counts


def preview(now: datetime) -> dict[str, int]:
    """Return what the purge would delete now, by the same rules, changing nothing."""
    people = sa.select(Subscriber.id).where(_has_left(now))
    past = sa.or_(Event.at < _start_of_year(now), Event.subscriber_id.in_(people))
    deliveries = sa.table("deliveries", sa.column("subscriber_id"))
    counted = {
        "people": sa.select(sa.func.count()).select_from(people.subquery()),
        "deliveries": sa.select(sa.func.count())
        .select_from(deliveries)
        .where(deliveries.c.subscriber_id.in_(people)),
        "events": sa.select(sa.func.count()).select_from(Event).where(past),
    }
    return {kind: db.session.scalar(statement) or 0 for kind, statement in counted.items()}


def purge_if_due(now: datetime) -> None:
    """Run this year's purge if its time has come and nobody has run it, late starts included."""
    local = now.astimezone(settings().timezone)
    if local.month != JANUARY or (local.day, local.hour) < DUE:
        return
    taken = insert_or_ignore(JobSlot, {"job": "purge", "slot": str(local.year), "taken_at": now})
    db.session.commit()
    unfinished = db.session.scalar(sa.select(PurgeRun.id).where(PurgeRun.finished_at.is_(None)).limit(1))
    if taken or unfinished is not None:
        purge(now=now, actor="system")
        db.session.execute(sa.update(PurgeRun).where(PurgeRun.finished_at.is_(None)).values(finished_at=now))
        db.session.commit()


def _has_left(before: datetime) -> sa.ColumnElement[bool]:
    """Tell who has ended every subscription; a restricted person stays untouched (GDPR art. 18)."""
    living = sa.exists().where(
        Subscription.subscriber_id == Subscriber.id,
        sa.or_(
            Subscription.status != SubscriptionStatus.UNSUBSCRIBED,
            Subscription.unsubscribed_at >= before,
        ),
    )
    return sa.and_(~living, Subscriber.restricted_at.is_(None), Subscriber.created_at < before)


def _who_left(*, before: datetime, limit: int) -> Sequence[int]:
    found = db.session.scalars(
        sa.select(Subscriber.id).where(_has_left(before)).order_by(Subscriber.id).limit(limit)
    )
    people = found.all()
    db.session.rollback()
    return people


def _start_of_year(now: datetime) -> datetime:
    zone = settings().timezone
    return datetime(now.astimezone(zone).year, 1, 1, tzinfo=zone).astimezone(UTC)


def _delete_old_events(before: datetime) -> int:
    """Delete the raw records of past years along their numbers, which are in order of time."""
    deleted = 0
    while True:
        ids = db.session.scalars(sa.select(Event.id).order_by(Event.id).limit(STEP)).all()
        last = ids[-1] if ids else 0
        statement = sa.delete(Event).where(Event.id <= last, Event.at < before)
        gone = change(statement)
        db.session.commit()
        deleted += gone
        if gone < STEP:
            return deleted
