"""Personal data of bounces and complaints: export, erasure and retention."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from newsletter.bounces.models import Bounce, Complaint
from newsletter.config import current_settings
from newsletter.db import db, execute_dml, is_sqlite
from newsletter.db.batching import People
from newsletter.db.id_bitmap import in_people
from newsletter.subscribers.models import Subscriber

_ANONYMIZED = {"subscriber_id": None, "raw": None}


def export(subscriber: Subscriber) -> dict[str, Any]:
    """Return the bounces and complaints of a person."""
    bounces = _rows_of(Bounce, subscriber)
    complaints = _rows_of(Complaint, subscriber)
    return {
        "bounces": [
            _common_fields(row) | {"kind": row.kind.value, "reply_status": row.status, "reply_text": row.text}
            for row in bounces
        ],
        "complaints": [_common_fields(row) | {"kind": row.feedback_type} for row in complaints],
    }


def erase(people: People) -> dict[str, int]:
    """Delete the bounces and complaints of these people, in the caller's transaction; return the counts.

    Unmatched reports that contain the address of one of them are deleted as well.
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


def erase_unmatched(before: datetime) -> int:
    """Delete all unmatched reports up to an instant; for many people, searching each takes too long."""
    stray = sa.and_(Bounce.subscriber_id.is_(None), Bounce.received_at <= before)
    return execute_dml(sa.delete(Bounce).where(stray))


def anonymize(subscriber_ids: list[int]) -> None:
    """Blank content and person of the reports of these subscribers, and keep the rows for counts."""
    execute_dml(
        sa.update(Bounce).where(Bounce.subscriber_id.in_(subscriber_ids)).values(text=None, **_ANONYMIZED)
    )
    execute_dml(sa.update(Complaint).where(Complaint.subscriber_id.in_(subscriber_ids)).values(_ANONYMIZED))


def delete_expired(now: datetime) -> int:
    """Delete messages past KEEP_BOUNCES_DAYS (RP-6), and unmatched reports. Commits.

    Reports of people whose signup expired unconfirmed are anonymized as well. Returns how many messages were
    deleted.
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
            anonymize(strangers)
    db.session.commit()
    return gone


def _rows_of(table: type[Any], subscriber: Subscriber) -> list[Any]:
    found = sa.select(table).where(table.subscriber_id == subscriber.id).order_by(table.id)
    return list(db.session.scalars(found.options(sa.orm.undefer(table.raw))))


def _common_fields(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row of either table
    return {
        "at": row.received_at.isoformat(),
        "campaign_id": row.campaign_id,
        "source": row.source,
        # Decoded as UTF-8, the most likely encoding.
        "message": row.raw.encode("latin-1", "replace").decode("utf-8", "replace") if row.raw else None,
    }
