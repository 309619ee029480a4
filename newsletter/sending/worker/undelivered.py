"""Failed and uncertain deliveries, on which staff decide.

Nothing here is retried automatically. A failed delivery may be sent again; an uncertain one may have
arrived, so both sending it again and leaving it are decisions of a person.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from newsletter.campaigns.drafts import get_campaign
from newsletter.campaigns.models import Campaign, CampaignStatus
from newsletter.db import db, execute_dml
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.worker.leasing import add_to_totals
from newsletter.subscribers.addresses import mask_address
from newsletter.subscribers.models import Subscriber
from newsletter.wakeups import wake_after_commit

#: Campaign statuses in which no delivery may be queued again.
_CLOSED_STATUSES = (CampaignStatus.DRAFT, CampaignStatus.SCHEDULED, CampaignStatus.CANCELLED)


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
    """Return a page of them by subscriber id, after ``after``."""
    rows = db.session.execute(
        sa.select(Delivery, Subscriber.address)
        .outerjoin(Subscriber, Subscriber.id == Delivery.subscriber_id)
        .where(Delivery.campaign_id == campaign_id, Delivery.subscriber_id > after, _is_open())
        .order_by(Delivery.subscriber_id)
        .limit(size)
    )
    return [Undelivered(delivery, mask_address(address) if address else None) for delivery, address in rows]


def send_again(campaign_id: int, status: DeliveryStatus, *, now: datetime, actor: str) -> int:
    """Put what failed, or what is uncertain, back in the queue; return how many.

    Raises UnknownCampaign or CampaignClosed.
    """
    campaign = get_campaign(campaign_id, lock=True)
    if campaign.status in _CLOSED_STATUSES:
        raise CampaignClosed(id=campaign.id, status=campaign.status.value)
    again = {"status": DeliveryStatus.QUEUED, "attempts": 0, "due_at": None, "reply_text": None}
    number = execute_dml(_update_open(campaign_id, status).values(again))
    if number:
        add_to_totals(campaign_id, **{status.value: -number})
        _resume_if_sent(campaign)
        _record_audit("deliveries sent again", campaign_id, status, number, now=now, actor=actor)
    return number


def leave_uncertain(campaign_id: int, *, now: datetime, actor: str) -> int:
    """Decide that what is uncertain stays as it is; return how many. It is no longer listed."""
    get_campaign(campaign_id, lock=True)
    number = execute_dml(_update_open(campaign_id, DeliveryStatus.UNCERTAIN).values(decided_at=now))
    if number:
        _record_audit(
            "deliveries left uncertain", campaign_id, DeliveryStatus.UNCERTAIN, number, now=now, actor=actor
        )
    return number


def _update_open(campaign_id: int, status: DeliveryStatus) -> sa.Update:
    return sa.update(Delivery).where(
        Delivery.campaign_id == campaign_id, Delivery.status == status, Delivery.decided_at.is_(None)
    )


def _is_open() -> sa.ColumnElement[bool]:
    return sa.and_(
        Delivery.status.in_([DeliveryStatus.FAILED, DeliveryStatus.UNCERTAIN]), Delivery.decided_at.is_(None)
    )


def _resume_if_sent(campaign: Campaign) -> None:
    if campaign.status is CampaignStatus.SENT:
        campaign.status, campaign.finished_at = CampaignStatus.SENDING, None
    wake_after_commit("campaigns")


def _record_audit(
    event: str, campaign_id: int, status: DeliveryStatus, number: int, *, now: datetime, actor: str
) -> None:
    audit.record(
        event, actor=actor, now=now, object=f"campaign:{campaign_id}", status=status.value, count=number
    )
