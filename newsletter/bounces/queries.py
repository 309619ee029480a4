"""Queries of bounces and complaints for pages and the command line."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from newsletter.bounces.models import BOUNCE_KINDS, Bounce, Complaint, ReportKind
from newsletter.config import current_settings
from newsletter.db import db, is_sqlite
from newsletter.subscribers.models import Subscriber

#: Maximum number of domains shown.
_MAX_DOMAINS = 20


def count_by_kind(now: datetime, days: int) -> list[tuple[ReportKind, int]]:
    """Return the reports of the last days by kind, with complaints."""
    since = now - timedelta(days=days)
    counted = sa.select(Bounce.kind, sa.func.count()).where(Bounce.received_at > since).group_by(Bounce.kind)
    found: dict[ReportKind, int] = dict(db.session.execute(counted).all())
    complained = sa.select(sa.func.count()).select_from(Complaint).where(Complaint.received_at > since)
    found[ReportKind.COMPLAINT] = db.session.scalar(complained) or 0
    return [(kind, found[kind]) for kind in ReportKind if found.get(kind)]


def count_by_domain(now: datetime, days: int) -> list[tuple[str, dict[ReportKind, int]]]:
    """Return bounces by mail domain, most first; erased people are not counted."""
    key = Subscriber.address_key
    if is_sqlite():
        domain = sa.func.substr(key, sa.func.instr(key, "@") + 1)
    else:
        domain = sa.func.split_part(key, "@", 2)
    rows = db.session.execute(
        sa.select(domain.label("domain"), Bounce.kind, sa.func.count())
        .join(Subscriber, Subscriber.id == Bounce.subscriber_id)
        .where(Bounce.received_at > now - timedelta(days=days), Bounce.kind.in_(BOUNCE_KINDS))
        .group_by(domain, Bounce.kind)
    )
    found: dict[str, dict[ReportKind, int]] = {}
    for name, kind, number in rows:
        found.setdefault(name, dict.fromkeys(BOUNCE_KINDS, 0))[kind] = number
    return sorted(found.items(), key=lambda item: (-sum(item[1].values()), item[0]))[:_MAX_DOMAINS]


def count_by_day(now: datetime, days: int) -> list[tuple[date, dict[ReportKind, int]]]:
    """Return bounces by day of the business time zone, newest first; days without any are left out."""
    zone = current_settings().timezone
    today = now.astimezone(zone).date()
    found = {today - timedelta(days=number): dict.fromkeys(BOUNCE_KINDS, 0) for number in range(days)}
    rows = db.session.execute(
        sa.select(Bounce.received_at, Bounce.kind).where(
            Bounce.received_at > now - timedelta(days=days + 1), Bounce.kind.in_(BOUNCE_KINDS)
        )
    )
    for received_at, kind in rows:
        day = received_at.astimezone(zone).date()
        if day in found:
            found[day][kind] += 1
    return [(day, numbers) for day, numbers in found.items() if any(numbers.values())]


def count_rejections_of_us(now: datetime) -> int:
    """Return how many mails of the last 7 days were rejected because of the sender."""
    since = Bounce.received_at > now - timedelta(days=7)
    counted = sa.select(sa.func.count()).select_from(Bounce).where(since, Bounce.kind == ReportKind.OURS)
    return db.session.scalar(counted) or 0


def reports_of_subscriber(subscriber_id: int) -> tuple[Sequence[Bounce], Sequence[Complaint]]:
    """Return the bounces and complaints of a subscriber, newest first."""
    bounces = sa.select(Bounce).where(Bounce.subscriber_id == subscriber_id).order_by(Bounce.id.desc())
    complaints = sa.select(Complaint).where(Complaint.subscriber_id == subscriber_id)
    return db.session.scalars(bounces).all(), db.session.scalars(
        complaints.order_by(Complaint.id.desc())
    ).all()


def list_unreadable(*, size: int, before: int | None = None, with_raw: bool = False) -> Sequence[Bounce]:
    """Return unmatched and unreadable reports, newest first."""
    rows = (
        sa.select(Bounce).where(Bounce.kind == ReportKind.UNREADABLE).order_by(Bounce.id.desc()).limit(size)
    )
    if before is not None:
        rows = rows.where(Bounce.id < before)
    if with_raw:
        rows = rows.options(sa.orm.undefer(Bounce.raw))
    return db.session.scalars(rows).all()
