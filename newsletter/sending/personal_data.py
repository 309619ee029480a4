"""What sending holds on a person: which campaigns went to them, and what became of each."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from newsletter.campaigns.models import Campaign
from newsletter.db import change, db
from newsletter.sending.models import Delivery
from newsletter.subscribers.models import Subscriber

#: Deliveries looked at in one transaction, so that others get to write.
STEP = 20_000


def export(subscriber: Subscriber) -> dict[str, Any]:
    """Return every delivery to a person."""
    rows = db.session.scalars(
        sa.select(Delivery).where(Delivery.subscriber_id == subscriber.id).order_by(Delivery.campaign_id)
    )
    return {
        "deliveries": [
            {
                "campaign_id": row.campaign_id,
                "status": row.status.value,
                "reply_code": row.reply_code,
                "reply_text": row.reply_text,
                "accepted_at": row.accepted_at.isoformat() if row.accepted_at else None,
                "first_open_at": row.first_open_at.isoformat() if row.first_open_at else None,
                "first_click_at": row.first_click_at.isoformat() if row.first_click_at else None,
            }
            for row in rows
        ]
    }


def erase(subscriber_ids: Sequence[int]) -> int:
    """Delete the deliveries to these people, campaign by campaign along the key; return how many.

    Commits after each campaign. The campaigns' totals stay as they are.
    """
    deleted = 0
    for campaign_id in db.session.scalars(sa.select(Campaign.id).order_by(Campaign.id)).all():
        for start in range(0, len(subscriber_ids), 500):
            deleted += change(
                sa.delete(Delivery).where(
                    Delivery.campaign_id == campaign_id,
                    Delivery.subscriber_id.in_(subscriber_ids[start : start + 500]),
                )
            )
        db.session.commit()
    return deleted


def forget_readers(campaign_id: int) -> None:
    """Forget when each person first opened and clicked a campaign. Commits in steps."""
    low, last = (
        0,
        db.session.scalar(
            sa.select(sa.func.max(Delivery.subscriber_id)).where(Delivery.campaign_id == campaign_id)
        ),
    )
    while last is not None and low <= last:
        change(
            sa.update(Delivery)
            .where(
                Delivery.campaign_id == campaign_id,
                Delivery.subscriber_id.between(low, low + STEP - 1),
                sa.or_(Delivery.first_open_at.is_not(None), Delivery.first_click_at.is_not(None)),
            )
            .values(first_open_at=None, first_click_at=None)
        )
        db.session.commit()
        low += STEP
