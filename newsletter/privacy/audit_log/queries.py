"""Reading the audit log: by whom, what, to what, when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import sqlalchemy as sa

from newsletter.config import settings
from newsletter.db import db
from newsletter.ledger.audit import AuditEntry

PAGE = 50
#: Lines of one export; older ones by narrowing the dates.
MOST = 100_000


@dataclass(frozen=True, slots=True)
class Filters:
    """What the page asks for; empty fields ask for everything."""

    actor: str = ""
    action: str = ""
    object: str = ""
    since: date | None = None
    until: date | None = None


def find_entries(filters: Filters, *, before: int | None = None, limit: int = PAGE) -> Sequence[AuditEntry]:
    """Return acts, newest first; those with a number below ``before``."""
    found = sa.select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if before:
        found = found.where(AuditEntry.id < before)
    if filters.actor:
        found = found.where(AuditEntry.actor == filters.actor)
    if filters.action:
        found = found.where(AuditEntry.action == filters.action)
    if filters.object:
        found = found.where(AuditEntry.object == filters.object)
    if filters.since:
        found = found.where(AuditEntry.at >= _start(filters.since))
    if filters.until:
        found = found.where(AuditEntry.at < _start(filters.until + timedelta(days=1)))
    return db.session.scalars(found).all()


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), settings().timezone).astimezone(UTC)
