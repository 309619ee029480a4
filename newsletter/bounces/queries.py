"""Figures of what came back, for pages and the command line."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from newsletter.bounces.models import CAME_BACK, Bounce, Complaint, Kind
from newsletter.config import current_settings
from newsletter.db import db, is_sqlite
from newsletter.subscribers.models import Subscriber

#: Domains shown by name.
_DOMAINS = 20


def by_kind(now: datetime, days: int) -> list[tuple[Kind, int]]:
    """Return how much came in the last days of each class, complaints with it."""
    since = now - timedelta(days=days)
    counted = sa.select(Bounce.kind, sa.func.count()).where(Bounce.received_at > since).group_by(Bounce.kind)
    found: dict[Kind, int] = dict(db.session.execute(counted).all())
    complained = sa.select(sa.func.count()).select_from(Complaint).where(Complaint.received_at > since)
    found[Kind.COMPLAINT] = db.session.scalar(complained) or 0
    return [(kind, found[kind]) for kind in Kind if found.get(kind)]


def by_domain(now: datetime, days: int) -> list[tuple[str, dict[Kind, int]]]:
    """Return what came back from each mail domain, most first; people who are gone count nowhere."""
    key = Subscriber.address_key
    if is_sqlite():
        domain = sa.func.substr(key, sa.func.instr(key, "@") + 1)
    else:
        domain = sa.func.split_part(key, "@", 2)
    rows = db.session.execute(
        sa.select(domain.label("domain"), Bounce.kind, sa.func.count())
        .join(Subscriber, Subscriber.id == Bounce.subscriber_id)
        .where(Bounce.received_at > now - timedelta(days=days), Bounce.kind.in_(CAME_BACK))
        .group_by(domain, Bounce.kind)
    )
    found: dict[str, dict[Kind, int]] = {}
    for name, kind, number in rows:
        found.setdefault(name, dict.fromkeys(CAME_BACK, 0))[kind] = number
    return sorted(found.items(), key=lambda item: (-sum(item[1].values()), item[0]))[:_DOMAINS]


def by_day(now: datetime, days: int) -> list[tuple[date, dict[Kind, int]]]:
    """Return what came back on each day of the business time zone, the newest first; empty days too."""
    zone = current_settings().timezone
    today = now.astimezone(zone).date()
    found = {today - timedelta(days=number): dict.fromkeys(CAME_BACK, 0) for number in range(days)}
    rows = db.session.execute(
        sa.select(Bounce.received_at, Bounce.kind).where(
            Bounce.received_at > now - timedelta(days=days + 1), Bounce.kind.in_(CAME_BACK)
        )
    )
    for received_at, kind in rows:
        day = received_at.astimezone(zone).date()
        if day in found:
            found[day][kind] += 1
    return [(day, numbers) for day, numbers in found.items() if any(numbers.values())]


def turned_away(now: datetime) -> int:
    """Count what was turned away because of us in the last week: somebody has to look into it."""
    since = Bounce.received_at > now - timedelta(days=7)
    counted = sa.select(sa.func.count()).select_from(Bounce).where(since, Bounce.kind == Kind.OURS)
    return db.session.scalar(counted) or 0


def of_person(subscriber_id: int) -> tuple[Sequence[Bounce], Sequence[Complaint]]:
    """Return what came back from one person, newest first, and what they called spam."""
    bounces = sa.select(Bounce).where(Bounce.subscriber_id == subscriber_id).order_by(Bounce.id.desc())
    complaints = sa.select(Complaint).where(Complaint.subscriber_id == subscriber_id)
    return db.session.scalars(bounces).all(), db.session.scalars(
        complaints.order_by(Complaint.id.desc())
    ).all()


def unreadable(*, size: int, before: int | None = None, with_raw: bool = False) -> Sequence[Bounce]:
    """Return what could not be read or believed, newest first."""
    rows = sa.select(Bounce).where(Bounce.kind == Kind.UNREADABLE).order_by(Bounce.id.desc()).limit(size)
    if before is not None:
        rows = rows.where(Bounce.id < before)
    if with_raw:
        rows = rows.options(sa.orm.undefer(Bounce.raw))
    return db.session.scalars(rows).all()
