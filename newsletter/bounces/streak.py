"""Soft bounces in a row: one is forgotten as soon as a campaign arrives."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from newsletter.bounces.models import CAME_BACK, Bounce, Kind
from newsletter.campaigns.models import Campaign
from newsletter.config import settings
from newsletter.db import db
from newsletter.sending.models import Delivery

#: Older campaigns say nothing about a mailbox of today.
FORGOTTEN_AFTER = timedelta(days=365)


def has_bounced_too_often(delivery: Delivery) -> bool:
    """Tell whether the last campaigns up to this one came back for now, so many and over so many days.

    One that arrived in between ends the row; one turned away because of us neither counts nor ends it.
    """
    chosen = settings()
    last = delivery.accepted_at
    if last is None:
        return False
    streak = []
    for accepted_at, is_soft, is_other in _history(delivery.subscriber_id, last):
        if is_soft:
            streak.append(accepted_at)
        elif not is_other:
            break
    return len(streak) >= chosen.soft_campaigns and last - min(streak) >= timedelta(days=chosen.soft_days)


def _history(subscriber_id: int, last: datetime) -> sa.Result[*tuple[Any, ...]]:
    """Return what became of a person's campaigns up to this moment, newest first."""

    def came_back(*kinds: Kind) -> sa.ColumnElement[bool]:
        return sa.exists().where(
            Bounce.campaign_id == Delivery.campaign_id,
            Bounce.subscriber_id == subscriber_id,
            Bounce.kind.in_(kinds),
        )

    others = [kind for kind in CAME_BACK if kind is not Kind.SOFT]
    # By the key of each campaign, as deliveries have no index of people.
    return db.session.execute(
        sa.select(Delivery.accepted_at, came_back(Kind.SOFT), came_back(*others))
        .join(Campaign, Campaign.id == Delivery.campaign_id)
        .where(
            Campaign.started_at > last - FORGOTTEN_AFTER,
            Delivery.subscriber_id == subscriber_id,
            Delivery.accepted_at <= last,
        )
        .order_by(Delivery.accepted_at.desc(), Delivery.campaign_id.desc())
    )
