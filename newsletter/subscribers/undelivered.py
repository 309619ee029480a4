"""Mails that could not be delivered: a person who waits for one is stuck, so staff must see it.

What failed, what is uncertain, and what has been on its way for longer than an hour. The mail's own
address is gone by then; whose it was is known as long as the person is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.db import db
from newsletter.mail.models import UNDELIVERED, MailStatus, OutboxMail
from newsletter.subscribers.addresses import mask
from newsletter.subscribers.models import Subscriber

#: A mail server may ask us to come back, and does so now and then (greylisting). Longer than this is news.
PATIENCE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Undelivered:
    """One mail. ``masked`` is None once the person is gone, and for mails to staff."""

    mail: OutboxMail
    masked: str | None


def count_undelivered(now: datetime) -> Sequence[tuple[str, MailStatus, int]]:
    """Return how many there are of each kind of mail and status."""
    rows = db.session.execute(
        sa.select(OutboxMail.template, OutboxMail.status, sa.func.count())
        .where(_is_undelivered(now))
        .group_by(OutboxMail.template, OutboxMail.status)
        .order_by(OutboxMail.template, OutboxMail.status)
    )
    return [(template, status, count) for template, status, count in rows]


def page_of_undelivered(
    now: datetime, *, before: int | None = None, after: int | None = None, size: int = 50
) -> list[Undelivered]:
    """Return a page of them, newest first, beside the mail of a given id."""
    statement = (
        sa.select(OutboxMail, Subscriber.address)
        .outerjoin(Subscriber, Subscriber.id == OutboxMail.subscriber_id)
        .where(_is_undelivered(now))
        .limit(size)
    )
    if after is not None:
        rows = list(db.session.execute(statement.where(OutboxMail.id > after).order_by(OutboxMail.id)))[::-1]
    else:
        if before is not None:
            statement = statement.where(OutboxMail.id < before)
        rows = list(db.session.execute(statement.order_by(OutboxMail.id.desc())))
    return [Undelivered(mail, mask(address) if address else None) for mail, address in rows]


def _is_undelivered(now: datetime) -> sa.ColumnElement[bool]:
    # In two halves, since SQLite uses one index for each and none for both at once.
    settled = sa.select(OutboxMail.id).where(sa.text(UNDELIVERED))
    waiting = sa.select(OutboxMail.id).where(
        OutboxMail.status == MailStatus.QUEUED, OutboxMail.created_at <= now - PATIENCE
    )
    return OutboxMail.id.in_(settled.union_all(waiting))
