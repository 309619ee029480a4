"""The January purge: everyone who left, and the raw opens and clicks of past years.

It takes who left before it started. It works in batches, so a kill loses nothing but time: the
next sweep goes on with whoever is still there. Totals stay, as plain numbers.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa

from newsletter import audit
from newsletter.campaigns.models import Campaign, CampaignTotals, Edition
from newsletter.config import settings
from newsletter.db import change, db, insert_or_ignore
from newsletter.errors import N_, NewsletterError
from newsletter.leases import alone
from newsletter.privacy.erasure import erase_people, scrub
from newsletter.privacy.models import JobSlot, PurgeRun
from newsletter.sending import personal_data as sending_data
from newsletter.stats.rollups import close_uniques, load_spool
from newsletter.subscribers.models import Consent, Signup, Subscriber, Subscription, SubscriptionStatus
from newsletter.tracking import personal_data as tracking_data
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


class PurgeUnderWay(NewsletterError):
    """Somebody else is at it."""

    message = N_("The purge is under way. Wait until it has ended.")


def purge(*, now: datetime, actor: str, any_day: bool = False) -> dict[str, int]:
    """Run the purge and return how many rows went, by kind. Commits as it goes.

    Raises NotJanuary outside January in the business time zone, unless ``any_day``, and
    PurgeUnderWay. What an earlier run was killed at is finished with it.
    """
    if now.astimezone(settings().timezone).month != JANUARY and not any_day:
        raise NotJanuary
    with alone("purge") as mine:
        if not mine:
            raise PurgeUnderWay
        run = _unfinished()
        if run is None:
            run = _begin(now, actor)
        else:
            run.started_at = now
        db.session.commit()
        return _carry_out(run, actor=actor, now=now)


def purge_if_due(now: datetime) -> None:
    """Run this year's purge if its time has come and nobody has; finish a run that was killed."""
    due = _is_due(now)
    if not due and _unfinished() is None:
        db.session.rollback()
        return
    db.session.rollback()
    with alone("purge") as mine:
        if not mine:
            return
        run = _unfinished()
        if run is None and due and _take_year(now):
            run = _begin(now, "system")
        db.session.commit()
        if run is not None:
            _carry_out(run, actor="system", now=now)


def preview(now: datetime) -> dict[str, int]:
    """Return what the purge would delete now, by the same rules, deleting nothing."""
    load_spool()
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


def _is_due(now: datetime) -> bool:
    local = now.astimezone(settings().timezone)
    return local.month == JANUARY and (local.day, local.hour) >= DUE


def _take_year(now: datetime) -> int:
    year = now.astimezone(settings().timezone).year
    return insert_or_ignore(JobSlot, {"job": "purge", "slot": str(year), "taken_at": now})


def _begin(now: datetime, actor: str) -> PurgeRun:
    run = PurgeRun(started_at=now)
    db.session.add(run)
    audit.record("purge started", actor=actor, now=now)
    return run


def _unfinished() -> PurgeRun | None:
    return db.session.scalar(sa.select(PurgeRun).where(PurgeRun.finished_at.is_(None)).limit(1))


def _carry_out(run: PurgeRun, *, actor: str, now: datetime) -> dict[str, int]:
    # Hits on their way to the tables belong to their year too, and would come after its purge.
    load_spool()
    _add(run, events=_delete_old_events(_start_of_year(run.started_at)))
    _forget_old_readers(run, _start_of_year(run.started_at))
    while people := _who_left(before=run.started_at, limit=BATCH):
        _add(run, **erase_people(people, now=now))
    change(sa.delete(Consent).where(Consent.keep_until <= now))  # proof whose time is over (RP-4)
    db.session.commit()
    scrub()  # before the run counts as finished: killed here, the next one scrubs again
    counts = dict(run.counts or {})
    run.finished_at = now
    audit.record("purge finished", actor=actor, now=now, object=f"purge:{run.id}", **counts)
    db.session.commit()
    log.info("purge finished", extra=counts)
    return counts


def _add(run: PurgeRun, **numbers: int) -> None:
    counts = {"people": 0, "deliveries": 0, "events": 0} | (run.counts or {})
    run.counts = {kind: count + numbers.get(kind, 0) for kind, count in counts.items()}
    db.session.commit()


def _has_left(before: datetime) -> sa.ColumnElement[bool]:
    """Tell who has ended every subscription and has not asked for another since.

    A restricted person stays untouched (GDPR art. 18).
    """
    living = sa.exists().where(
        Subscription.subscriber_id == Subscriber.id,
        sa.or_(
            Subscription.status != SubscriptionStatus.UNSUBSCRIBED,
            Subscription.unsubscribed_at >= before,
        ),
    )
    coming_back = sa.exists().where(
        Signup.subscriber_id == Subscriber.id, Signup.confirmed_at.is_(None), Signup.expires_at > before
    )
    return sa.and_(~living, ~coming_back, Subscriber.restricted_at.is_(None), Subscriber.created_at < before)


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
    """Delete the raw records of past years, a stretch of their numbers at a time."""
    deleted = 0
    first, last = db.session.execute(sa.select(sa.func.min(Event.id), sa.func.max(Event.id))).one()
    for low in range(first or 0, (last or 0) + 1, STEP):
        deleted += change(sa.delete(Event).where(Event.id.between(low, low + STEP - 1), Event.at < before))
        db.session.commit()
    return deleted


def _forget_old_readers(run: PurgeRun, before: datetime) -> None:
    """Forget who opened and clicked the campaigns of past years; their totals stay (TR-6)."""
    totals = CampaignTotals.uniques_closed_at
    open_still = sa.or_(totals.is_(None), totals >= run.started_at)
    campaigns = (
        sa.select(Campaign.id)
        .join(CampaignTotals, CampaignTotals.campaign_id == Campaign.id)
        .where(Campaign.started_at < before, open_still)
        .order_by(Campaign.id)
    )
    for campaign_id in db.session.scalars(campaigns).all():
        close_uniques(campaign_id, run.started_at)
        db.session.commit()
        tracking_data.forget_readers(_editions_of(campaign_id))
        sending_data.forget_readers(campaign_id)


def _editions_of(campaign_id: int) -> Sequence[int]:
    return db.session.scalars(sa.select(Edition.id).where(Edition.campaign_id == campaign_id)).all()
