"""IP addresses of opens and clicks: normalized, and truncated to the network after IP_DAYS (TR-6)."""

import ipaddress
import logging
from datetime import datetime, timedelta
from functools import lru_cache

import sqlalchemy as sa

from newsletter.config import current_settings
from newsletter.db import db, insert_or_ignore
from newsletter.tracking.models import Event, JobCursor

log = logging.getLogger(__name__)

#: Records read in one transaction.
BATCH_SIZE = 10_000
_CURSOR = "addresses"


@lru_cache(maxsize=10_000)
def normalize_ip(given: str) -> str | None:
    """Return an address without port, brackets and zone, IPv4 as IPv4; None for what is no address."""
    text = given.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


@lru_cache(maxsize=10_000)
def truncate_ip(ip: str) -> str:
    """Return the network that an address is truncated to: /24, or /48 of IPv6."""
    address = ipaddress.ip_address(ip.partition("/")[0])
    length = 24 if address.version == 4 else 48  # noqa: PLR2004 - IPv4
    return str(ipaddress.ip_network(f"{address}/{length}", strict=False))


def truncate_if_due(now: datetime) -> int:
    """Once a day, truncate the addresses of records older than IP_DAYS; return how many.

    Resumes where it stopped: ids grow with time. Commits in batches.
    """
    insert_or_ignore(JobCursor, {"name": _CURSOR, "last_id": 0, "finished_at": None})
    cursor = db.session.get_one(JobCursor, _CURSOR, populate_existing=True)
    if cursor.finished_at is not None and cursor.finished_at > now - timedelta(days=1):
        db.session.rollback()
        return 0
    total = 0
    before = now - timedelta(days=current_settings().ip_days)
    while (step := _truncate_batch(cursor, before)) is not None:
        total += step
        db.session.commit()
    cursor.finished_at = now
    db.session.commit()
    if total:
        log.info("addresses cut", extra={"count": total})
    return total


def _truncate_batch(cursor: JobCursor, before: datetime) -> int | None:
    """Truncate one batch; None when no older record is left."""
    rows = db.session.execute(
        sa.select(Event.id, Event.at, Event.ip)
        .where(Event.id > cursor.last_id)
        .order_by(Event.id)
        .limit(BATCH_SIZE)
    ).all()
    old = []
    for row in rows:
        if row.at >= before:
            break
        old.append(row)
    if not old:
        return None
    changed = [{"key": row.id, "network": truncate_ip(row.ip)} for row in old if row.ip and "/" not in row.ip]
    if changed:
        db.session.connection().execute(
            sa.update(Event).where(Event.id == sa.bindparam("key")).values(ip=sa.bindparam("network")),
            changed,
        )
    cursor.last_id = old[-1].id
    return len(changed)
