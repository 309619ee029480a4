"""Figures of the sign-up funnel: from the form shown to the subscription confirmed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, NamedTuple

import sqlalchemy as sa

from newsletter.db import db, read_transactions
from newsletter.stats.rollups.funnel_months import funnel_counts, next_month
from newsletter.subscribers.models import FunnelCount, FunnelStep, MailingList

STEPS = tuple(FunnelStep)
#: Whatever has the columns of a count: FunnelCount, or all counts there are.
CountColumns = Any


@dataclass(frozen=True, slots=True)
class Filter:
    """What to count: one list or all, one month (its first day) or all time."""

    list_slug: str | None = None
    month: date | None = None
    #: Only these, by slug; None means all.
    within: tuple[str, ...] | None = None

    def condition(self, counted: CountColumns) -> sa.ColumnElement[bool]:
        """Return the condition on the counts."""
        wanted: list[sa.ColumnElement[bool]] = [sa.true()]
        if self.list_slug:
            mine = sa.select(MailingList.id).where(MailingList.slug == self.list_slug)
            wanted.append(counted.list_id.in_(mine))
        if self.within is not None:
            own = sa.select(MailingList.id).where(MailingList.slug.in_(self.within))
            wanted.append(counted.list_id.in_(own))
        if self.month:
            wanted.append(counted.day >= self.month)
            wanted.append(counted.day < next_month(self.month))
        return sa.and_(*wanted)


class FunnelRow(NamedTuple):
    """The counts of one day, list, language and form."""

    #: As ISO 8601.
    day: str
    list_name: str
    language: str
    form_host: str
    #: In the order of STEPS.
    counts: Sequence[int]


@dataclass(frozen=True, slots=True)
class FunnelGroup:
    """The counts of everything that shares a name: a list, a language, a form."""

    name: str
    counts: dict[FunnelStep, int]


def groups(chosen: Filter) -> dict[str, list[FunnelGroup]]:
    """Return the steps by list, by language and by form; the busiest first."""
    found = funnel_counts().c
    keys = (found.list_id, found.language, found.form_host)
    rows = db.session.execute(
        sa.select(*keys, found.step, sa.func.sum(found.count))
        .where(chosen.condition(found))
        .group_by(*keys, found.step)
    ).all()
    names = dict(db.session.execute(sa.select(MailingList.id, MailingList.name)).all())
    return {
        "list": _sum_by_name((names[row[0]], row[3], row[4]) for row in rows),
        "language": _sum_by_name((row[1], row[3], row[4]) for row in rows),
        "form": _sum_by_name((row[2], row[3], row[4]) for row in rows),
    }


def totals(parts: Sequence[FunnelGroup]) -> dict[FunnelStep, int]:
    """Return how often each step was taken in all these groups together."""
    return {step: sum(group.counts[step] for group in parts) for step in STEPS}


def by_month(chosen: Filter) -> list[tuple[date, dict[FunnelStep, int]]]:
    """Return the steps of each month of a list, the newest first."""
    found = funnel_counts().c
    counted = (
        sa.select(found.day, found.step, sa.func.sum(found.count))
        .where(replace(chosen, month=None).condition(found))
        .group_by(found.day, found.step)
    )
    months: dict[date, dict[FunnelStep, int]] = {}
    for day, step, count in db.session.execute(counted):
        month = months.setdefault(day.replace(day=1), _fill_steps({}))
        month[step] += int(count)
    return sorted(months.items(), reverse=True)


def days_by_month(chosen: Filter) -> Iterator[list[FunnelRow]]:
    """Yield every day, list, language and form, a month at a time, oldest first.

    No transaction is open between two months, so a slow reader holds nothing up.
    """
    month, last = (chosen.month, chosen.month) if chosen.month else _first_and_last_day()
    month = month.replace(day=1) if month else None
    while month and last and month <= last:
        if rows := _day_rows(replace(chosen, month=month)):
            yield rows
        month = next_month(month)


def _first_and_last_day() -> tuple[date | None, date | None]:
    # One query each, as only the end of an index is then looked at.
    ends = (sa.func.min(FunnelCount.day), sa.func.max(FunnelCount.day))
    with read_transactions():
        first, last = (db.session.scalar(sa.select(end)) for end in ends)
        db.session.rollback()
    return first, last


def _day_rows(chosen: Filter) -> list[FunnelRow]:
    # In the order of the key, so that the database sorts nothing.
    keys = (FunnelCount.day, FunnelCount.list_id, FunnelCount.language, FunnelCount.form_host)
    steps = [sa.func.sum(sa.case((FunnelCount.step == step, FunnelCount.count), else_=0)) for step in STEPS]
    written = (sa.type_coerce(FunnelCount.day, sa.String), *keys[1:])
    counted = sa.select(*written, *steps).where(chosen.condition(FunnelCount)).group_by(*keys).order_by(*keys)
    with read_transactions():
        names = dict(db.session.execute(sa.select(MailingList.id, MailingList.name)).all())
        rows = db.session.execute(counted).all()
        db.session.rollback()
    return [
        FunnelRow(str(day), names[list_id], language, form_host, numbers)
        for day, list_id, language, form_host, *numbers in rows
    ]


def _sum_by_name(rows: Iterable[tuple[str, FunnelStep, int]]) -> list[FunnelGroup]:
    found: dict[str, dict[FunnelStep, int]] = {}
    for name, step, count in rows:
        found.setdefault(name, _fill_steps({}))[step] += int(count)
    named = [FunnelGroup(name, counted) for name, counted in found.items()]
    return sorted(named, key=lambda group: (-sum(group.counts.values()), group.name))


def _fill_steps(counts: dict[FunnelStep, int]) -> dict[FunnelStep, int]:
    return {step: int(counts.get(step, 0)) for step in STEPS}
