"""Queries on the audit log: filtered by actor, action, object and date, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import sqlalchemy as sa

from newsletter.config import current_settings
from newsletter.db import db
from newsletter.ledger.audit import AuditEntry

PAGE_SIZE = 50
#: Rows of one export; for older ones narrow the dates.
MAX_EXPORT_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class AuditFilters:
    """Filters of the page; an empty field matches everything."""

    actor: str = ""
    action: str = ""
    object: str = ""
    since: date | None = None
    until: date | None = None


def find_entries(
    filters: AuditFilters, *, before: int | None = None, limit: int = PAGE_SIZE
) -> Sequence[AuditEntry]:
    """Return audit entries, newest first; with ``before`` those with a smaller id."""
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
        found = found.where(AuditEntry.at >= _start_of_day(filters.since))
    if filters.until:
        found = found.where(AuditEntry.at < _start_of_day(filters.until + timedelta(days=1)))
    return db.session.scalars(found).all()


def _start_of_day(day: date) -> datetime:
    return datetime.combine(day, time(), current_settings().timezone).astimezone(UTC)
