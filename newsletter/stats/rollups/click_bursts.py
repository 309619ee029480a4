"""Bursts of clicks: clicks that later ones show to be a machine's are uncounted.

A click is counted at once. If the same recipient's links are clicked too fast for a person within seconds, or
the honeypot link is, the clicks before were a machine's too. Each recent click stores what it was counted
as, so uncounting is exact.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.db import bind_list, db, execute_dml, in_list, is_sqlite, table_of
from newsletter.stats.rollups import bulk_insert
from newsletter.tracking.classify import HONEYPOT_LINK, HONEYPOT_SECONDS, HUMAN_CLASSES, Rules
from newsletter.tracking.models import Event, MachineClass, RecentClick

#: How long after it was loaded a click may still be uncounted.
KEEP_RECENT = timedelta(minutes=3)


@dataclass(slots=True)
class Click:
    """A click by a person, new or recent."""

    subscriber_id: int
    edition_id: int
    number: int
    at: datetime
    machine_class: MachineClass
    #: 0 while it is new.
    event_id: int = 0
    is_first: bool = False
    is_reader: bool = False
    #: What it was counted as before it turned out to be a machine's.
    was: MachineClass | None = None

    @property
    def is_human(self) -> bool:
        """True while it counts for the person."""
        return self.machine_class in HUMAN_CLASSES


def mark_bursts(clicks: Sequence[Click], rules: Rules) -> list[Click]:
    """Classify one recipient's clicks that came too fast as a scanner's; return those that changed."""
    if len(clicks) < rules.links and all(click.number != HONEYPOT_LINK for click in clicks):
        return []
    ordered = sorted(clicks, key=lambda click: click.at)
    hasty = rules.in_burst([(click.at, click.number) for click in ordered])
    changed = [click for click, is_hasty in zip(ordered, hasty, strict=True) if is_hasty and click.is_human]
    for click in changed:
        click.was, click.machine_class = click.machine_class, MachineClass.SCANNER
    return changed


def find_related_clicks(new: Sequence[Click], rules: Rules) -> list[Click]:
    """Return the clicks of the last minutes with which these may turn out to be a machine's.

    Most people follow one link again and again at most: theirs are counted in the database, not fetched.
    """
    if not new:
        return []
    around = _time_window(new, rules)
    editions = {click.edition_id for click in new}
    followed: defaultdict[int, set[int]] = defaultdict(set)
    for click in new:
        followed[click.subscriber_id].add(click.number)
    # Who has followed one link now needs all but one of those that make haste from before.
    suspects = {who for who, numbers in followed.items() if len(numbers) > 1 or HONEYPOT_LINK in numbers}
    others = followed.keys() - suspects
    suspects |= _find_suspects(others, editions, around, at_least=rules.links - 1)
    return _select_clicks(suspects, editions, around) if suspects else []


def _time_window(new: Sequence[Click], rules: Rules) -> sa.ColumnElement[bool]:
    first, last = min(click.at for click in new), max(click.at for click in new)
    near = timedelta(seconds=HONEYPOT_SECONDS)
    trapped = {click.subscriber_id for click in new if click.number == HONEYPOT_LINK}
    return sa.or_(
        RecentClick.at.between(first - rules.window, last + rules.window),
        sa.and_(RecentClick.number == HONEYPOT_LINK, RecentClick.at.between(first - near, last + near)),
        sa.and_(RecentClick.subscriber_id.in_(trapped), RecentClick.at.between(first - near, last + near))
        if trapped
        else sa.false(),
    )


def _find_suspects(
    people: Collection[int], edition_ids: Iterable[int], around: sa.ColumnElement[bool], *, at_least: int
) -> set[int]:
    """Return those who have followed the trap, or so many different links of one edition."""
    recent = table_of(RecentClick).c
    these = in_list(recent.subscriber_id, "people", for_sqlite=is_sqlite())
    # Two different ones are told apart without sorting them; more than two are judged afterwards anyway.
    many = sa.func.min(recent.number) < sa.func.max(recent.number) if at_least > 1 else sa.true()
    rows = db.session.scalars(
        sa.select(recent.subscriber_id)
        .where(these, recent.edition_id.in_(sorted(edition_ids)), around)
        .group_by(recent.subscriber_id, recent.edition_id)
        .having(sa.or_(many, sa.func.min(recent.number) == HONEYPOT_LINK)),
        {"people": bind_list(sorted(people))},
    )
    return set(rows)


def find_recent_clicks(subscriber_ids: Iterable[int], edition_ids: Iterable[int]) -> list[Click]:
    """Return every recent click of some people in some editions."""
    return _select_clicks(subscriber_ids, edition_ids)


_COLUMNS = (
    "subscriber_id", "event_id", "edition_id", "number", "at", "loaded_at", "machine_class", "is_first",
    "is_reader",
)  # fmt: skip


def store_clicks(clicks: Sequence[Click], now: datetime) -> None:
    """Remember new clicks."""
    moment = bulk_insert.timestamp_writer()
    loaded_at = moment(now)
    rows = [
        (
            click.subscriber_id, click.event_id, click.edition_id, click.number, moment(click.at), loaded_at,
            click.machine_class.value, click.is_first, click.is_reader,
        )
        for click in clicks
    ]  # fmt: skip
    bulk_insert.bulk_insert("recent_clicks", _COLUMNS, rows)


def update_clicks(clicks: Sequence[Click]) -> None:
    """Update the class of recent clicks, in recent_clicks and in the raw records."""
    if not clicks:
        return
    table, events = table_of(RecentClick), table_of(Event)
    db.session.connection().execute(
        sa.update(table)
        .where(table.c.subscriber_id == sa.bindparam("who"), table.c.event_id == sa.bindparam("key"))
        .values(
            machine_class=sa.bindparam("made_by"),
            is_first=sa.bindparam("first"),
            is_reader=sa.bindparam("reader"),
        ),
        [
            {
                "who": click.subscriber_id, "key": click.event_id, "made_by": click.machine_class,
                "first": click.is_first, "reader": click.is_reader,
            }
            for click in clicks
        ],
    )  # fmt: skip
    db.session.connection().execute(
        sa.update(events)
        .where(events.c.id == sa.bindparam("key"))
        .values(machine_class=sa.bindparam("made_by")),
        [{"key": click.event_id, "made_by": click.machine_class} for click in clicks],
    )


def delete_old_clicks(now: datetime) -> int:
    """Delete clicks older than KEEP_RECENT; return how many."""
    return execute_dml(sa.delete(RecentClick).where(RecentClick.loaded_at < now - KEEP_RECENT))


def _select_clicks(
    subscriber_ids: Iterable[int], edition_ids: Iterable[int], *conditions: sa.ColumnElement[bool]
) -> list[Click]:
    recent = table_of(RecentClick).c
    these = in_list(recent.subscriber_id, "people", for_sqlite=is_sqlite())
    rows = db.session.execute(
        sa.select(
            recent.subscriber_id, recent.edition_id, recent.number, recent.at, recent.machine_class,
            recent.event_id, recent.is_first, recent.is_reader,
        ).where(these, recent.edition_id.in_(sorted(edition_ids)), *conditions),
        {"people": bind_list(sorted(subscriber_ids))},
    )  # fmt: skip
    return [Click(*row) for row in rows]
