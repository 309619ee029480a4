"""The sign-up funnel by month: a finished month is summed once, so that no page sums years of days.

Counts that arrive later, from a machine that was offline for days, are added in the transaction of their day.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from newsletter.db import db, is_sqlite, table_of
from newsletter.stats.models import FunnelMonth
from newsletter.subscribers.models import FunnelCount
from newsletter.subscribers.signup.funnel import CountKey, late_counts_stored

#: A month is closed this long after its end: what a process noted at midnight is stored a little later.
GRACE = timedelta(days=3)
_KEYS = ("list_id", "language", "form_host", "step")
#: Advisory lock: exclusive to close a month, shared to store counts, so that neither overlooks the other.
_LOCK_ID = 7_305_421


def close_months(today: date) -> None:
    """Add up every month that is over. Commits month by month."""
    while (month := _lock_next_month()) is not None and next_month(month) + GRACE <= today:
        db.session.execute(sa.insert(table_of(FunnelMonth)), _month_rows(month, _sum_days(month)))
        db.session.commit()
    db.session.rollback()


def add_late_counts(_sender: object, *, counts: Mapping[CountKey, int]) -> None:
    """Add counts to those of their months that are closed, in the caller's transaction."""
    if not is_sqlite():  # there is one writer at a time
        db.session.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(_LOCK_ID)))
    still_open = _first_open_day()
    summed: Counter[tuple[Any, ...]] = Counter()
    for (day, *key), count in counts.items():
        if day < still_open:
            summed[day.replace(day=1), *key] += count
    # In a fixed order, so that two never wait for each other.
    ordered = sorted(summed.items(), key=lambda item: (*item[0][:4], item[0][4].value))
    rows = [row for (month, *key), count in ordered for row in _month_rows(month, [(*key, count)])]
    if rows:
        db.session.execute(_upsert_statement(), rows)


def connect_signals() -> None:
    """Add late counts to closed months when they are stored."""
    late_counts_stored.connect(add_late_counts)


def find_wrong_months() -> list[date]:
    """Return the closed months that are not what their days add up to."""
    closed = db.session.scalars(sa.select(FunnelMonth.month).distinct().order_by(FunnelMonth.month)).all()
    return [month for month in closed if set(_sum_days(month)) != set(_stored(month))]


def funnel_counts(since: date | None = None) -> sa.Subquery:
    """Return every count there is from a day on; those of a closed month stand under its first day."""
    since, still_open = since or date.min, _first_open_day()
    whole = since if since.day == 1 else next_month(since)
    closed = sa.select(*_columns(FunnelMonth, FunnelMonth.month)).where(FunnelMonth.month >= whole)
    # What is not in a closed month: the rest of the month in which it begins, and what is still open.
    rest = sa.or_(
        sa.and_(FunnelCount.day >= since, FunnelCount.day < min(whole, still_open)),
        FunnelCount.day >= max(since, still_open),
    )
    days = sa.select(*_columns(FunnelCount, FunnelCount.day)).where(rest)
    return sa.union_all(closed, days).subquery("counts")


def next_month(month: date) -> date:
    """Return the first day of the month after."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _lock_next_month() -> date | None:
    """Keep others from closing months and from adding to them; return the first open one with any counts."""
    if not is_sqlite():
        db.session.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_ID)))
    return _first_open_month()


def _month_rows(month: date, counted: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(("month", *_KEYS, "count"), (month, *row), strict=True)) for row in counted]


def _upsert_statement() -> sa.Insert:
    table = table_of(FunnelMonth)
    insert = sqlite.insert(table) if is_sqlite() else postgresql.insert(table)
    return insert.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={"count": table.c.count + insert.excluded.count},
    )


def _first_open_day() -> date:
    last = db.session.scalar(sa.select(sa.func.max(FunnelMonth.month)))
    return next_month(last) if last else date.min


def _first_open_month() -> date | None:
    first = db.session.scalar(
        sa.select(sa.func.min(FunnelCount.day)).where(FunnelCount.day >= _first_open_day())
    )
    return first.replace(day=1) if first else None


def _columns(
    model: type[FunnelCount | FunnelMonth], day: sa.orm.InstrumentedAttribute[date]
) -> list[sa.ColumnElement[Any]]:
    return [day.label("day"), *(getattr(model, name) for name in _KEYS), model.count.label("count")]


def _sum_days(month: date) -> Sequence[tuple[Any, ...]]:
    keys = [getattr(FunnelCount, name) for name in _KEYS]
    counted = sa.select(*keys, sa.func.sum(FunnelCount.count)).group_by(*keys)
    days = counted.where(FunnelCount.day >= month, FunnelCount.day < next_month(month))
    return [(*names, int(number)) for *names, number in db.session.execute(days)]


def _stored(month: date) -> Sequence[tuple[Any, ...]]:
    keys = [getattr(FunnelMonth, name) for name in _KEYS]
    rows = db.session.execute(sa.select(*keys, FunnelMonth.count).where(FunnelMonth.month == month))
    return [tuple(row) for row in rows]
