"""Counts consecutive soft bounces of a subscriber; one delivered campaign resets the count."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.bounces.models import BOUNCE_KINDS, Bounce, ReportKind
from newsletter.campaigns.models import Campaign
from newsletter.config import current_settings
from newsletter.db import db, table_of
from newsletter.sending.models import Delivery, DeliveryStatus

#: Campaigns that started earlier are not counted.
HISTORY_WINDOW = timedelta(days=365)


_DELIVERIES = table_of(Delivery)
#: One that was refused at once was never accepted: it counts on the day on which its campaign began.
_MOMENT = _DELIVERIES.c.accepted_at.type
_AT = sa.func.coalesce(_DELIVERIES.c.accepted_at, Campaign.started_at, type_=_MOMENT)


def _has_bounce(*kinds: ReportKind) -> sa.ColumnElement[bool]:
    return sa.exists().where(
        Bounce.campaign_id == _DELIVERIES.c.campaign_id,
        Bounce.subscriber_id == sa.bindparam("person"),
        sa.or_(*(Bounce.kind == kind for kind in kinds)),
    )


# By the primary key of each campaign, as deliveries have no index by subscriber. Built once.
_SELECT_HISTORY = (
    sa.select(
        _AT,
        _has_bounce(ReportKind.SOFT),
        _has_bounce(*(kind for kind in BOUNCE_KINDS if kind is not ReportKind.SOFT)),
        _DELIVERIES.c.status == DeliveryStatus.FAILED,
    )
    .join(Campaign, Campaign.id == _DELIVERIES.c.campaign_id)
    .where(
        Campaign.started_at > sa.bindparam("since"),
        _DELIVERIES.c.subscriber_id == sa.bindparam("person"),
        sa.or_(_DELIVERIES.c.accepted_at.is_not(None), _DELIVERIES.c.status == DeliveryStatus.FAILED),
        sa.bindparam("last", type_=_MOMENT) >= _AT,
    )
    .order_by(_AT.desc(), _DELIVERIES.c.campaign_id.desc())
)


def has_bounced_too_often(subscriber_id: int, last: datetime | None) -> bool:
    """Return whether a person's campaigns up to ``last`` soft-bounced SOFT_CAMPAIGNS times over SOFT_DAYS.

    A delivered campaign in between resets the count; other bounces neither count nor reset it.
    """
    if last is None:
        return False
    streak = []
    values = {"person": subscriber_id, "last": last, "since": last - HISTORY_WINDOW}
    for at, is_soft, is_other, is_failed in db.session.connection().execute(_SELECT_HISTORY, values):
        if is_soft:
            streak.append(at)
        elif not (is_other or is_failed):
            break
    chosen = current_settings()
    return len(streak) >= chosen.soft_campaigns and last - min(streak) >= timedelta(days=chosen.soft_days)
