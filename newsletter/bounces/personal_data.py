"""What came back says of a person: how it is exported, how it is erased, and how it ages."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from newsletter.bounces.models import Bounce, Complaint
from newsletter.config import current_settings
from newsletter.db import db, execute_dml, is_sqlite
from newsletter.db.batching import People
from newsletter.db.id_bitmap import in_people
from newsletter.subscribers.models import Subscriber

_NOTHING = {"subscriber_id": None, "raw": None}


def export(subscriber: Subscriber) -> dict[str, Any]:
    """Return what came back of a person's mails, and what they called spam."""
    bounces = _of(Bounce, subscriber)
    complaints = _of(Complaint, subscriber)
    return {
        "bounces": [
            _shared(row) | {"kind": row.kind.value, "reply_status": row.status, "reply_text": row.text}
            for row in bounces
        ],
        "complaints": [_shared(row) | {"kind": row.feedback_type} for row in complaints],
    }


def erase(people: People) -> dict[str, int]:
    """Delete what came back from these people, in the caller's transaction; return how many rows went.

    What names no mail of ours may name a person all the same: it goes where it names one of these.
    """
    deleted = sum(
        execute_dml(sa.delete(table).where(in_people(table.subscriber_id, people)))
        for table in (Bounce, Complaint)
    )
    found = sa.func.instr if is_sqlite() else sa.func.strpos
    named = sa.exists().where(
        in_people(Subscriber.id, people), found(sa.func.lower(Bounce.raw), Subscriber.address_key) > 0
    )
    stray = sa.and_(Bounce.subscriber_id.is_(None), Bounce.raw.is_not(None))
    return {"bounces": deleted + execute_dml(sa.delete(Bounce).where(stray, named))}


def erase_strays(before: datetime) -> int:
    """Delete all that named no mail of ours: among many people, looking for each takes too long."""
    stray = sa.and_(Bounce.subscriber_id.is_(None), Bounce.received_at <= before)
    return execute_dml(sa.delete(Bounce).where(stray))


def forget(subscriber_ids: list[int]) -> None:
    """Leave of what came back only that something did: who asked for a mail is no longer known here."""
    execute_dml(
        sa.update(Bounce).where(Bounce.subscriber_id.in_(subscriber_ids)).values(text=None, **_NOTHING)
    )
    execute_dml(sa.update(Complaint).where(Complaint.subscriber_id.in_(subscriber_ids)).values(_NOTHING))


def forget_old(now: datetime) -> int:
    """Delete the messages themselves when their time is over (RP-6), and what names nobody. Commits.

    Requests that nobody confirmed take with them what came back of their mails.
    """
    before = now - timedelta(days=current_settings().keep_bounces_days)
    execute_dml(sa.delete(Bounce).where(Bounce.received_at < before, Bounce.subscriber_id.is_(None)))
    gone = 0
    for table in (Bounce, Complaint):
        old = sa.and_(table.received_at < before, table.raw.is_not(None))
        gone += execute_dml(sa.update(table).where(old).values(raw=None))
        known = sa.exists().where(Subscriber.id == table.subscriber_id)
        young = sa.and_(table.received_at >= before, table.outbox_id.is_not(None))
        singles = sa.select(table.subscriber_id).where(young, ~known)
        strangers = [number for number in db.session.scalars(singles.distinct()) if number]
        if strangers:
            forget(strangers)
    db.session.commit()
    return gone


def _of(table: type[Any], subscriber: Subscriber) -> list[Any]:
    found = sa.select(table).where(table.subscriber_id == subscriber.id).order_by(table.id)
    return list(db.session.scalars(found.options(sa.orm.undefer(table.raw))))


def _shared(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row of either table
    return {
        "at": row.received_at.isoformat(),
        "campaign_id": row.campaign_id,
        "source": row.source,
        # As it came, in the letters it was most likely written in.
        "message": row.raw.encode("latin-1", "replace").decode("utf-8", "replace") if row.raw else None,
    }
