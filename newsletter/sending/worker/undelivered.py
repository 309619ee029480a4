"""Deliveries that staff must decide on: those that failed, and those of which nobody knows.

Nothing here is sent by itself. What failed may be sent again; what is uncertain may have arrived,
so sending it again is a decision, and so is leaving it.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from newsletter.campaigns.drafts import get_campaign
from newsletter.campaigns.models import Campaign, CampaignStatus
from newsletter.db import change, db
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.worker.leasing import count
from newsletter.subscribers.addresses import mask
from newsletter.subscribers.models import Subscriber
from newsletter.wakeups import wake

#: Under these nothing may be put back in the queue.
_CLOSED = (CampaignStatus.DRAFT, CampaignStatus.SCHEDULED, CampaignStatus.CANCELLED)


class CampaignClosed(NewsletterError):
    """Its deliveries are not sent again."""

    message = N_("Campaign %(id)s is %(status)s: nothing of it can be sent again.")


@dataclass(frozen=True, slots=True)
class Undelivered:
    """One delivery. ``masked`` is None once the person is gone."""

    delivery: Delivery
    masked: str | None


def count_undelivered(campaign_id: int) -> dict[DeliveryStatus, int]:
    """Return how many of a campaign failed, and how many are uncertain and undecided."""
    rows = db.session.execute(
        sa.select(Delivery.status, sa.func.count())
        .where(Delivery.campaign_id == campaign_id, _is_open())
        .group_by(Delivery.status)
    )
    found: dict[DeliveryStatus, int] = dict(rows.all())
    return {status: found.get(status, 0) for status in (DeliveryStatus.FAILED, DeliveryStatus.UNCERTAIN)}


def page_of_undelivered(campaign_id: int, *, after: int = 0, size: int = 50) -> list[Undelivered]:
    """Return a page of them, in the order of the subscribers, behind one of these."""
    rows = db.session.execute(
        sa.select(Delivery, Subscriber.address)
        .outerjoin(Subscriber, Subscriber.id == Delivery.subscriber_id)
        .where(Delivery.campaign_id == campaign_id, Delivery.subscriber_id > after, _is_open())
        .order_by(Delivery.subscriber_id)
        .limit(size)
    )
    return [Undelivered(delivery, mask(address) if address else None) for delivery, address in rows]


def send_again(campaign_id: int, status: DeliveryStatus, *, now: datetime, actor: str) -> int:
    """Put what failed, or what is uncertain, back in the queue; return how many.

    Raises UnknownCampaign or CampaignClosed.
    """
    campaign = get_campaign(campaign_id, lock=True)
    if campaign.status in _CLOSED:
        raise CampaignClosed(id=campaign.id, status=campaign.status.value)
    again = {"status": DeliveryStatus.QUEUED, "attempts": 0, "due_at": None, "reply_text": None}
    number = change(_of(campaign_id, status).values(again))
    if number:
        count(campaign_id, **{status.value: -number})
        _set_going(campaign)
        _note("deliveries sent again", campaign_id, status, number, now=now, actor=actor)
    return number


def leave_uncertain(campaign_id: int, *, now: datetime, actor: str) -> int:
    """Decide that what is uncertain stays as it is; return how many. It is no longer listed."""
    get_campaign(campaign_id, lock=True)
    number = change(_of(campaign_id, DeliveryStatus.UNCERTAIN).values(decided_at=now))
    if number:
        _note(
            "deliveries left uncertain", campaign_id, DeliveryStatus.UNCERTAIN, number, now=now, actor=actor
        )
    return number


def _of(campaign_id: int, status: DeliveryStatus) -> sa.Update:
    return sa.update(Delivery).where(
        Delivery.campaign_id == campaign_id, Delivery.status == status, Delivery.decided_at.is_(None)
    )


def _is_open() -> sa.ColumnElement[bool]:
    return sa.and_(
        Delivery.status.in_([DeliveryStatus.FAILED, DeliveryStatus.UNCERTAIN]), Delivery.decided_at.is_(None)
    )


def _set_going(campaign: Campaign) -> None:
    if campaign.status is CampaignStatus.SENT:
        campaign.status, campaign.finished_at = CampaignStatus.SENDING, None
    wake("campaigns")


def _note(
    event: str, campaign_id: int, status: DeliveryStatus, number: int, *, now: datetime, actor: str
) -> None:
    audit.record(
        event, actor=actor, now=now, object=f"campaign:{campaign_id}", status=status.value, count=number
    )
