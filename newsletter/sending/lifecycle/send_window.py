"""The send window: deliveries spread over a time, in shares with a due time each."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.db import db, execute_dml
from newsletter.sending.models import Delivery

#: A pass over a campaign begins each minute, so shares closer together would be one.
MIN_STEP = timedelta(minutes=1)
MAX_SHARES = 100
#: What a program or a command may ask for.
MAX_SPREAD = timedelta(hours=72)


def spread_deliveries(campaign_id: int, over: timedelta, now: datetime) -> None:
    """Set the due times of a campaign's deliveries, all but the first share, in the caller's transaction."""
    shares = max(1, min(MAX_SHARES, over // MIN_STEP))
    number = sa.func.ntile(shares).over(order_by=Delivery.subscriber_id).label("number")
    numbered = sa.select(Delivery.subscriber_id, number).where(Delivery.campaign_id == campaign_id).subquery()
    first_of = (
        sa.select(numbered.c.number, sa.func.min(numbered.c.subscriber_id))
        .group_by(numbered.c.number)
        .order_by(numbered.c.number)
    )
    firsts = [first for _number, first in db.session.execute(first_of)]
    for position, first in enumerate(firsts[1:], start=1):
        share = sa.and_(Delivery.campaign_id == campaign_id, Delivery.subscriber_id >= first)
        if position + 1 < len(firsts):
            share = sa.and_(share, Delivery.subscriber_id < firsts[position + 1])
        execute_dml(sa.update(Delivery).where(share).values(due_at=now + over * position / shares))
