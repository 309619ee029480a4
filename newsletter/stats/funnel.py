"""The figures of the opt-in funnel: from the form shown to the subscription confirmed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import sqlalchemy as sa

from newsletter.db import db
from newsletter.subscribers.models import FunnelCount, FunnelStep, MailingList

STEPS = tuple(FunnelStep)


@dataclass(frozen=True, slots=True)
class Filter:
    """What to count: one list or all, one month (its first day) or all time."""

    list_slug: str | None = None
    month: date | None = None
    #: Only these, by slug; None means all.
    within: tuple[str, ...] | None = None

    def covers(self) -> sa.ColumnElement[bool]:
        """Return the condition on the counts."""
        wanted: list[sa.ColumnElement[bool]] = [sa.true()]
        if self.list_slug:
            mine = sa.select(MailingList.id).where(MailingList.slug == self.list_slug)
            wanted.append(FunnelCount.list_id.in_(mine))
        if self.within is not None:
            own = sa.select(MailingList.id).where(MailingList.slug.in_(self.within))
            wanted.append(FunnelCount.list_id.in_(own))
        if self.month:
            wanted.append(FunnelCount.day >= self.month)
            wanted.append(FunnelCount.day < next_month(self.month))
        return sa.and_(*wanted)


@dataclass(frozen=True, slots=True)
class Row:
    """The counts of one day, list, language and form."""

    day: date
    list_name: str
    language: str
    form_host: str
    counts: dict[FunnelStep, int]


@dataclass(frozen=True, slots=True)
class Group:
    """The counts of everything that shares a name: a list, a language, a form."""

    name: str
    counts: dict[FunnelStep, int]


def totals(chosen: Filter) -> dict[FunnelStep, int]:
    """Return how often each step was taken."""
    counted = sa.select(FunnelCount.step, sa.func.sum(FunnelCount.count)).where(chosen.covers())
    return _all_steps(dict(db.session.execute(counted.group_by(FunnelCount.step)).all()))


def groups(chosen: Filter) -> dict[str, list[Group]]:
    """Return the steps by list, by language and by form; the busiest first."""
    named = sa.select(MailingList.name).where(MailingList.id == FunnelCount.list_id).scalar_subquery()
    columns: dict[str, sa.ColumnElement[str]] = {
        "list": named,
        "language": sa.type_coerce(FunnelCount.language, sa.String),
        "form": sa.type_coerce(FunnelCount.form_host, sa.String),
    }
    return {kind: _grouped(column, chosen) for kind, column in columns.items()}


def by_month(chosen: Filter) -> list[tuple[date, dict[FunnelStep, int]]]:
    """Return the steps of each month of a list, the newest first."""
    counted = (
        sa.select(FunnelCount.day, FunnelCount.step, sa.func.sum(FunnelCount.count))
        .where(replace(chosen, month=None).covers())
        .group_by(FunnelCount.day, FunnelCount.step)
    )
    found: dict[date, dict[FunnelStep, int]] = {}
    for day, step, count in db.session.execute(counted):
        month = found.setdefault(day.replace(day=1), _all_steps({}))
        month[step] += int(count)
    return sorted(found.items(), reverse=True)


def days(chosen: Filter) -> list[Row]:
    """Return every day, list, language and form, oldest first: what the file for a spreadsheet holds."""
    keys = (FunnelCount.day, MailingList.name, FunnelCount.language, FunnelCount.form_host)
    counted = (
        sa.select(*keys, FunnelCount.step, sa.func.sum(FunnelCount.count))
        .join(MailingList, MailingList.id == FunnelCount.list_id)
        .where(chosen.covers())
        .group_by(*keys, FunnelCount.step)
        .order_by(*keys)
    )
    found: dict[tuple[date, str, str, str], dict[FunnelStep, int]] = {}
    for day, name, language, form_host, step, count in db.session.execute(counted):
        found.setdefault((day, name, language, form_host), _all_steps({}))[step] = int(count)
    return [Row(*key, counts) for key, counts in found.items()]


def next_month(month: date) -> date:
    """Return the first day of the month after."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _grouped(column: sa.ColumnElement[str], chosen: Filter) -> list[Group]:
    counted = (
        sa.select(column, FunnelCount.step, sa.func.sum(FunnelCount.count))
        .where(chosen.covers())
        .group_by(column, FunnelCount.step)
    )
    found: dict[str, dict[FunnelStep, int]] = {}
    for name, step, count in db.session.execute(counted):
        found.setdefault(name, _all_steps({}))[step] = int(count)
    rows: Sequence[Group] = [Group(name, counts) for name, counts in found.items()]
    return sorted(rows, key=lambda row: (-sum(row.counts.values()), row.name))


def _all_steps(counts: dict[FunnelStep, int]) -> dict[FunnelStep, int]:
    return {step: int(counts.get(step, 0)) for step in STEPS}
