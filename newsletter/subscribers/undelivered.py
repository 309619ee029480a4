"""Single mails that were not delivered: someone who waits for one is stuck, so staff must see it.

Failed and uncertain mails, and those queued for longer than an hour. The outbox row no longer has the
address; the subscriber's is used while the subscriber exists.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.db import db
from newsletter.mail.models import UNDELIVERED, MailStatus, OutboxMail
from newsletter.subscribers.addresses import mask_address
from newsletter.subscribers.models import Subscriber

#: Temporary failures shorter than this are normal (greylisting).
OVERDUE_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class UndeliveredMail:
    """One undelivered mail. ``masked`` is None once the person is erased, and for mails to staff."""

    mail: OutboxMail
    masked: str | None


def count_undelivered(now: datetime) -> Sequence[tuple[str, MailStatus, int]]:
    """Return the number of undelivered mails by template and status."""
    rows = db.session.execute(
        sa.select(OutboxMail.template, OutboxMail.status, sa.func.count())
        .where(_is_undelivered(now))
        .group_by(OutboxMail.template, OutboxMail.status)
        .order_by(OutboxMail.template, OutboxMail.status)
    )
    return [(template, status, count) for template, status, count in rows]


def list_undelivered(
    now: datetime, *, before: int | None = None, after: int | None = None, size: int = 50
) -> list[UndeliveredMail]:
    """Return a page of undelivered mails, newest first, before or after a mail id."""
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
    return [UndeliveredMail(mail, mask_address(address) if address else None) for mail, address in rows]


def _is_undelivered(now: datetime) -> sa.ColumnElement[bool]:
    # A UNION, since SQLite uses one index for each half and none for an OR.
    settled = sa.select(OutboxMail.id).where(sa.text(UNDELIVERED))
    waiting = sa.select(OutboxMail.id).where(
        OutboxMail.status == MailStatus.QUEUED, OutboxMail.created_at <= now - OVERDUE_AFTER
    )
    return OutboxMail.id.in_(settled.union_all(waiting))
