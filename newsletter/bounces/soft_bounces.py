"""Soft bounces in a row: one is forgotten as soon as a campaign arrives."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.bounces.models import CAME_BACK, Bounce, Kind
from newsletter.campaigns.models import Campaign
from newsletter.config import current_settings
from newsletter.db import db, table_of
from newsletter.sending.models import Delivery, DeliveryStatus

#: Older campaigns say nothing about a mailbox of today.
FORGOTTEN_AFTER = timedelta(days=365)


_ROWS = table_of(Delivery)
#: One that was refused at once was never accepted: it counts on the day on which its campaign began.
_AT = sa.func.coalesce(_ROWS.c.accepted_at, Campaign.started_at, type_=_ROWS.c.accepted_at.type)


def _came_back(*kinds: Kind) -> sa.ColumnElement[bool]:
    return sa.exists().where(
        Bounce.campaign_id == _ROWS.c.campaign_id,
        Bounce.subscriber_id == sa.bindparam("person"),
        sa.or_(*(Bounce.kind == kind for kind in kinds)),
    )


# By the key of each campaign, as deliveries have no index of people. Made once.
_HISTORY = (
    sa.select(
        _AT,
        _came_back(Kind.SOFT),
        _came_back(*(kind for kind in CAME_BACK if kind is not Kind.SOFT)),
        _ROWS.c.status == DeliveryStatus.FAILED,
    )
    .join(Campaign, Campaign.id == _ROWS.c.campaign_id)
    .where(
        Campaign.started_at > sa.bindparam("since"),
        _ROWS.c.subscriber_id == sa.bindparam("person"),
        sa.or_(_ROWS.c.accepted_at.is_not(None), _ROWS.c.status == DeliveryStatus.FAILED),
        sa.bindparam("last") >= _AT,
    )
    .order_by(_AT.desc(), _ROWS.c.campaign_id.desc())
)


def has_bounced_too_often(subscriber_id: int, last: datetime | None) -> bool:
    """Tell whether a person's campaigns up to this moment came back for now, so many and over so many days.

    One that arrived in between ends the row; one turned away because of us neither counts nor ends it.
    """
    if last is None:
        return False
    streak = []
    values = {"person": subscriber_id, "last": last, "since": last - FORGOTTEN_AFTER}
    for at, is_soft, is_other, is_failed in db.session.connection().execute(_HISTORY, values):
        if is_soft:
            streak.append(at)
        elif not (is_other or is_failed):
            break
    chosen = current_settings()
    return len(streak) >= chosen.soft_campaigns and last - min(streak) >= timedelta(days=chosen.soft_days)
