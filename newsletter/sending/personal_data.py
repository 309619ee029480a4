"""Personal data of sending: deliveries to a person; their export and erasure."""

from typing import Any

import sqlalchemy as sa

from newsletter.campaigns.models import Campaign, Edition
from newsletter.db import db, execute_dml
from newsletter.db.batching import BatchSizer, People, ProgressCallback, ignore_progress
from newsletter.db.id_bitmap import in_bitmap
from newsletter.sending.models import Delivery
from newsletter.subscribers.models import Subscriber

#: Subscriber ids scanned in one transaction at first, so that others get to write.
BATCH_SIZE = 20_000


def export(subscriber: Subscriber) -> dict[str, Any]:
    """Return every delivery to a person."""
    rows = db.session.execute(
        sa.select(Delivery, Edition.subject)
        .outerjoin(Edition, Edition.id == Delivery.edition_id)
        .where(Delivery.subscriber_id == subscriber.id)
        .order_by(Delivery.campaign_id)
    )
    return {
        "deliveries": [
            {
                "campaign_id": row.campaign_id,
                "subject": subject,
                "status": row.status.value,
                "reply_code": row.reply_code,
                "reply_text": row.reply_text,
                "accepted_at": row.accepted_at.isoformat() if row.accepted_at else None,
                "is_measured": row.is_measured,
                "first_open_at": row.first_open_at.isoformat() if row.first_open_at else None,
                "first_click_at": row.first_click_at.isoformat() if row.first_click_at else None,
            }
            for row, subject in rows
        ]
    }


def erase(people: People, *, tell: ProgressCallback = ignore_progress) -> int:
    """Delete the deliveries to these people, scanning the key campaign by campaign; return how many.

    Commits in batches. The campaigns' totals stay as they are.
    """
    campaigns = db.session.scalars(sa.select(Campaign.id).order_by(Campaign.id)).all()
    going = in_bitmap(Delivery.subscriber_id, people)
    deleted, sizer = 0, BatchSizer(BATCH_SIZE)
    for done, campaign_id in enumerate(campaigns, start=1):
        campaign = Delivery.campaign_id == campaign_id
        # Asked apart: SQLite answers either from an end of the key, and both by walking all of it.
        low, last = (
            db.session.scalar(sa.select(end(Delivery.subscriber_id)).where(campaign))
            for end in (sa.func.min, sa.func.max)
        )
        db.session.rollback()
        while low is not None and last is not None and low <= last:
            with sizer.batch() as size:
                these = Delivery.subscriber_id.between(low, low + size - 1)
                deleted += execute_dml(sa.delete(Delivery).where(campaign, these, going))
                db.session.commit()
            low += size
        tell(done, len(campaigns))
    return deleted


def delete_first_actions(campaign_id: int) -> None:
    """Blank when each person first opened and clicked a campaign. Commits in batches."""
    low, last = (
        0,
        db.session.scalar(
            sa.select(sa.func.max(Delivery.subscriber_id)).where(Delivery.campaign_id == campaign_id)
        ),
    )
    while last is not None and low <= last:
        execute_dml(
            sa.update(Delivery)
            .where(
                Delivery.campaign_id == campaign_id,
                Delivery.subscriber_id.between(low, low + BATCH_SIZE - 1),
                sa.or_(Delivery.first_open_at.is_not(None), Delivery.first_click_at.is_not(None)),
            )
            .values(first_open_at=None, first_click_at=None)
        )
        db.session.commit()
        low += BATCH_SIZE
