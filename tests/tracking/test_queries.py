"""Finding people's raw records: all of them, whichever run they are in, and nobody else's."""

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.tracking import personal_data
from newsletter.tracking.models import ID_BLOCK, Event, EventKind, MachineClass
from newsletter.tracking.queries import event_ids_of
from tests.support.clock import NOW

#: Both ends of a run, one in the middle, runs left out between, and beyond what an INTEGER holds.
NUMBERS = [1, ID_BLOCK - 1, ID_BLOCK, ID_BLOCK + 1, 3 * ID_BLOCK - 1, 3 * ID_BLOCK, 2**31 + 5]


@pytest.fixture
def records(app):
    """At each number one of person 7, and beside it one of person 8."""
    for number in NUMBERS:
        for subscriber_id in (7, 8):
            db.session.add(
                Event(
                    id=number * 2 + subscriber_id % 2, at=NOW, campaign_id=1, edition_id=1, kind=EventKind.OPEN,
                    subscriber_id=subscriber_id, machine_class=MachineClass.HUMAN, rules_version=1,
                )
            )  # fmt: skip
    db.session.commit()
    return [number * 2 + 1 for number in reversed(NUMBERS)]


def test_all_of_a_person_is_found_newest_first(records):
    assert list(event_ids_of([7])) == records


def test_several_people_are_found_at_once(records):
    assert sorted(event_ids_of([7, 8])) == sorted([*records, *(number - 1 for number in records)])


def test_it_is_read_in_pages(records):
    first = event_ids_of([7], most=3)
    second = event_ids_of([7], most=3, before=first[-1])

    assert [*first, *second, *event_ids_of([7], before=second[-1])] == records


@pytest.mark.parametrize("before", [0, -(10**30), 1])
def test_before_the_first_there_is_nothing(records, before):
    assert list(event_ids_of([7], before=before)) == []


def test_a_number_too_large_for_any_column_is_beyond_the_newest(records):
    assert list(event_ids_of([7], before=10**30)) == records


def test_where_nothing_is_kept_nothing_is_found(app):
    assert list(event_ids_of([7])) == []


def test_erasing_one_leaves_the_other(records):
    deleted = personal_data.erase([7])

    left = set(db.session.scalars(sa.select(Event.id)))
    assert (deleted, left) == (len(records), {number - 1 for number in records})


def test_a_person_is_found_by_the_index_and_not_by_reading_everything(records, statements):
    statements.clear()
    event_ids_of([7])

    (found,) = [(text, values) for text, values in statements if "ORDER BY" in text]
    assert "ix_events_run" in plan_of(*found)


@pytest.fixture
def statements(app):
    """What is asked of the database from here on."""
    asked = []

    def listen(_connection, _cursor, text, values, _context, _many):
        asked.append((text, values))

    sa.event.listen(db.engine, "before_cursor_execute", listen)
    yield asked
    sa.event.remove(db.engine, "before_cursor_execute", listen)


def plan_of(text, values):
    if db.engine.dialect.name == "sqlite":
        rows = db.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)
        return "\n".join(row[3] for row in rows)
    db.session.execute(sa.text("SET LOCAL enable_seqscan = off"))  # there is too little to be worth an index
    return "\n".join(row[0] for row in db.session.connection().exec_driver_sql(f"EXPLAIN {text}", values))
