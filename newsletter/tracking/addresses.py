"""IP addresses of opens and clicks: written one way, cut when their time comes (TR-6)."""

import ipaddress
import logging
from datetime import datetime, timedelta
from functools import lru_cache

import sqlalchemy as sa

from newsletter.config import settings
from newsletter.db import db, insert_or_ignore
from newsletter.tracking.models import Event, Walk

log = logging.getLogger(__name__)

#: Records looked at in one transaction.
STEP = 10_000
_WALK = "addresses"


@lru_cache(maxsize=10_000)
def canonical(given: str) -> str | None:
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
def cut(ip: str) -> str:
    """Return the network an address is cut to: /24, or /48 of IPv6."""
    address = ipaddress.ip_address(ip.partition("/")[0])
    length = 24 if address.version == 4 else 48  # noqa: PLR2004 - IPv4
    return str(ipaddress.ip_network(f"{address}/{length}", strict=False))


def cut_if_due(now: datetime) -> int:
    """Once a day, cut the addresses of records older than IP_DAYS; return how many. Commits in steps.

    It goes on where it stopped: records are numbered in the order in which they came.
    """
    insert_or_ignore(Walk, {"name": _WALK, "last_id": 0, "finished_at": None})
    walk = db.session.get_one(Walk, _WALK, populate_existing=True)
    if walk.finished_at is not None and walk.finished_at > now - timedelta(days=1):
        db.session.rollback()
        return 0
    total = 0
    before = now - timedelta(days=settings().ip_days)
    while (step := _cut_step(walk, before)) is not None:
        total += step
        db.session.commit()
    walk.finished_at = now
    db.session.commit()
    if total:
        log.info("addresses cut", extra={"count": total})
    return total


def _cut_step(walk: Walk, before: datetime) -> int | None:
    """Cut some; None when the rest is too young."""
    rows = db.session.execute(
        sa.select(Event.id, Event.at, Event.ip).where(Event.id > walk.last_id).order_by(Event.id).limit(STEP)
    ).all()
    old = []
    for row in rows:
        if row.at >= before:
            break
        old.append(row)
    if not old:
        return None
    changed = [{"key": row.id, "network": cut(row.ip)} for row in old if row.ip and "/" not in row.ip]
    if changed:
        db.session.connection().execute(
            sa.update(Event).where(Event.id == sa.bindparam("key")).values(ip=sa.bindparam("network")),
            changed,
        )
    walk.last_id = old[-1].id
    return len(changed)
