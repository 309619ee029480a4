"""Who may be written to now, and who holds which delivery.

A worker first leases some rows, then marks each ``sending`` just before it is handed over. Both
statements ask anew whether the person may be written to, so leaving takes effect for every mail
not yet handed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from newsletter.campaigns.models import CampaignList, CampaignTotals
from newsletter.db import change, db
from newsletter.leases import LEASE, dead_owners, owner
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.subscribers.measuring import measured_states
from newsletter.subscribers.models import (
    Subscriber,
    Subscription,
    SubscriptionStatus,
    Suppression,
    TrackingState,
)

#: Rows leased at a time. Small: what a dying worker holds waits for its lease.
BATCH = 100
_WAITING = (DeliveryStatus.QUEUED, DeliveryStatus.DEFERRED)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery marked ``sending``, and what its copy needs."""

    campaign_id: int
    subscriber_id: int
    edition_id: int
    list_id: int
    attempts: int
    address: str
    is_measured: bool


def lease_some(campaign_id: int, now: datetime) -> Sequence[int]:
    """Lease the next due deliveries of a campaign and return whose they are. Commits."""
    due = (
        sa.select(Delivery.subscriber_id)
        .where(
            Delivery.campaign_id == campaign_id,
            Delivery.status.in_(_WAITING),
            sa.or_(Delivery.due_at.is_(None), Delivery.due_at <= now),
            sa.or_(Delivery.leased_until.is_(None), Delivery.leased_until <= now),
        )
        .order_by(Delivery.subscriber_id)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
        .cte("due")
        # A plain sub-select may be run once for each row, and lock and lease as many again each time.
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    leased = db.session.scalars(
        sa.update(Delivery)
        .where(
            Delivery.campaign_id == campaign_id, Delivery.subscriber_id.in_(sa.select(due.c.subscriber_id))
        )
        .values(leased_by=owner(), leased_until=now + LEASE)
        .returning(Delivery.subscriber_id)
        .execution_options(synchronize_session=False)
    ).all()
    db.session.commit()
    return sorted(leased)


def mark_sending(campaign_id: int, subscriber_id: int, now: datetime) -> Claimed | None:
    """Mark a leased delivery ``sending``; None when it must not be sent (any more). Commits.

    A person who may no longer be written to makes it ``skipped``.
    """
    mine = sa.and_(
        Delivery.campaign_id == campaign_id,
        Delivery.subscriber_id == subscriber_id,
        Delivery.leased_by == owner(),
        Delivery.status.in_(_WAITING),
    )
    row = db.session.execute(
        sa.update(Delivery)
        .where(mine, _may_be_written_to())
        .values(
            status=DeliveryStatus.SENDING,
            attempts=Delivery.attempts + 1,
            leased_until=now + LEASE,
            is_measured=_is_measured(),
        )
        .returning(
            Delivery.edition_id,
            Delivery.list_id,
            Delivery.attempts,
            sa.select(Subscriber.address).where(Subscriber.id == Delivery.subscriber_id).scalar_subquery(),
            Delivery.is_measured,
        )
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if row is None:
        skipped = (
            sa.update(Delivery)
            .where(mine)
            .values(status=DeliveryStatus.SKIPPED, leased_by=None, leased_until=None)
        )
        count(campaign_id, skipped=change(skipped))
    db.session.commit()
    return Claimed(campaign_id, subscriber_id, *row) if row is not None else None


def release(campaign_id: int, now: datetime) -> None:
    """Give back what this process leased and did not send, to be tried again. Commits."""
    change(
        sa.update(Delivery)
        .where(
            Delivery.campaign_id == campaign_id,
            Delivery.leased_by == owner(),
            Delivery.status.in_(_WAITING),
            sa.or_(Delivery.due_at.is_(None), Delivery.due_at <= now),
        )
        .values(leased_by=None, leased_until=None)
    )
    db.session.commit()


def release_expired(campaign_id: int, now: datetime) -> int:
    """Settle what dead workers held and return how many became ``uncertain``. Commits."""
    held = sa.select(Delivery.leased_by).where(
        Delivery.campaign_id == campaign_id, Delivery.leased_by.is_not(None)
    )
    dead = dead_owners(name for name in db.session.scalars(held.distinct()) if name)
    abandoned = sa.and_(
        Delivery.campaign_id == campaign_id,
        sa.or_(Delivery.leased_until <= now, Delivery.leased_by.in_(dead)),
    )
    nobody = {"leased_by": None, "leased_until": None}
    # In flight when the worker died: it may have been accepted, so it is never sent again by itself.
    uncertain = change(
        sa.update(Delivery)
        .where(abandoned, Delivery.status == DeliveryStatus.SENDING)
        .values(status=DeliveryStatus.UNCERTAIN, **nobody)
    )
    count(campaign_id, uncertain=uncertain)
    change(sa.update(Delivery).where(abandoned, Delivery.status.in_(_WAITING)).values(**nobody))
    db.session.commit()
    return uncertain


def count(campaign_id: int, **numbers: int) -> None:
    """Add to a campaign's totals, in the transaction of what is counted."""
    added = {name: getattr(CampaignTotals, name) + number for name, number in numbers.items() if number}
    if added:
        change(sa.update(CampaignTotals).where(CampaignTotals.campaign_id == campaign_id).values(**added))


def _may_be_written_to() -> sa.ColumnElement[bool]:
    lists = sa.select(CampaignList.list_id).where(CampaignList.campaign_id == Delivery.campaign_id)
    return (
        sa.select(Subscriber.id)
        .join(Subscription, Subscription.subscriber_id == Subscriber.id)
        .where(
            Subscriber.id == Delivery.subscriber_id,
            Subscriber.restricted_at.is_(None),
            Subscription.status == SubscriptionStatus.CONFIRMED,
            Subscription.list_id.in_(lists),
            ~sa.exists().where(Suppression.address_hash == Subscriber.address_hash),
        )
        .exists()
    )


def _is_measured() -> sa.ColumnElement[bool]:
    states: set[TrackingState] = set(measured_states())
    return sa.exists().where(Subscriber.id == Delivery.subscriber_id, Subscriber.tracking.in_(states))
