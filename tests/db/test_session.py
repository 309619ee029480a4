import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError

from newsletter.db import (
    db,
    insert_or_ignore,
    is_sqlite,
    read_transactions,
    restart_for_writing,
    use_read_transactions,
)
from newsletter.subscribers.models import MailingList, Subscription, SubscriptionStatus
from tests.support.apps import at_once

on_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
HELSINKI = ZoneInfo("Europe/Helsinki")


def stored(made):
    """Read a row anew, from the database."""
    db.session.commit()
    db.session.expire_all()
    return db.session.get_one(type(made), made.id)


def test_the_session_knows_its_engine(app, engine):
    assert is_sqlite() is (engine == "sqlite")


def test_an_instant_comes_back_aware_and_in_utc(make_list):
    made = make_list(created_at=datetime(2026, 3, 3, 11, 30, 0, 123456, tzinfo=HELSINKI))

    created_at = stored(made).created_at

    assert created_at == datetime(2026, 3, 3, 9, 30, 0, 123456, tzinfo=UTC)
    assert created_at.tzinfo is UTC


def test_the_hour_that_comes_twice_in_autumn_keeps_its_two_instants(make_list):
    first = make_list(created_at=datetime(2026, 10, 25, 3, 30, tzinfo=HELSINKI, fold=0))
    second = make_list(created_at=datetime(2026, 10, 25, 3, 30, tzinfo=HELSINKI, fold=1))

    assert stored(second).created_at - stored(first).created_at == timedelta(hours=1)


def test_a_naive_datetime_is_refused(make_list):
    with pytest.raises(StatementError, match="a naive datetime cannot be stored"):
        make_list(created_at=datetime(2026, 3, 3, 9, 30))  # noqa: DTZ001 - the mistake itself
    db.session.rollback()

    assert db.session.scalar(sa.select(sa.func.count()).select_from(MailingList)) == 0


def test_instants_of_two_zones_are_compared_as_instants(make_list, now):
    make_list("early", created_at=now)
    make_list("late", created_at=now + timedelta(minutes=1))
    in_india = now.astimezone(timezone(timedelta(hours=5, minutes=30)))

    found = db.session.scalars(sa.select(MailingList.slug).where(MailingList.created_at <= in_india))

    assert found.all() == ["early"]


def test_an_enum_is_stored_by_its_value(make_subscriber):
    make_subscriber(status=SubscriptionStatus.PENDING)

    assert db.session.scalar(sa.text("select status from subscriptions")) == "pending"


def test_an_enum_comes_back_as_itself(make_subscriber):
    made = make_subscriber(status=SubscriptionStatus.PENDING)

    assert stored(made.subscriptions[0]).status is SubscriptionStatus.PENDING


def test_a_row_without_its_parent_is_refused(app, now):
    db.session.add(Subscription(subscriber_id=1, list_id=1, created_at=now))

    with pytest.raises(IntegrityError):
        db.session.commit()


def test_rows_that_are_there_already_are_left_alone(make_list, now):
    make_list("uutiset", "Uutiset")
    row = {"language": "fi", "topics": "", "frequency": "", "created_at": now}

    added = insert_or_ignore(
        MailingList,
        {"slug": "uutiset", "name": "Toinen nimi"} | row,
        {"slug": "tarjoukset", "name": "Tarjoukset"} | row,
    )

    assert added == 1
    names = sa.select(MailingList.slug, MailingList.name)
    assert {tuple(row) for row in db.session.execute(names)} == {
        ("uutiset", "Uutiset"),
        ("tarjoukset", "Tarjoukset"),
    }


def test_one_row_that_is_there_already_counts_as_none(make_list, now):
    make_list("uutiset")
    row = {"slug": "uutiset", "name": "x", "language": "fi", "topics": "", "frequency": "", "created_at": now}

    assert insert_or_ignore(MailingList, row) == 0


def test_of_two_that_insert_the_same_row_at_once_one_does(real_app, now):
    row = {"slug": "uutiset", "name": "x", "language": "fi", "topics": "", "frequency": "", "created_at": now}

    def insert():
        added = insert_or_ignore(MailingList, row)
        db.session.commit()
        return added

    assert sorted(at_once(real_app, insert, insert, insert)) == [0, 0, 1]


def test_no_rows_are_no_statement(app):
    assert insert_or_ignore(MailingList) == 0


def test_looking_at_an_object_after_a_commit_opens_no_transaction(make_list):
    made = make_list("uutiset")

    assert made.slug == "uutiset"
    assert not db.session().in_transaction()


@on_sqlite
@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),  # FULL
        ("foreign_keys", 1),
        ("secure_delete", 1),
        ("auto_vacuum", 2),  # INCREMENTAL
        ("busy_timeout", 15000),
    ],
)
def test_every_connection_is_prepared(real_app, pragma, value):
    with db.engine.connect() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


@pytest.fixture
def other_writer(real_app):
    """Another process, in the middle of its transaction."""
    connection = sqlite3.connect(str(db.engine.url.database), isolation_level=None)
    connection.execute("begin immediate")
    connection.execute("insert into job_slots values ('other', 'slot', '2026-03-03 09:30:00')")
    yield connection
    connection.close()


@pytest.fixture
def impatient(real_app, monkeypatch):
    """Let our own connections wait 20 ms for a lock."""
    monkeypatch.setattr("newsletter.db.sqlite_write_lock.LOCK_TIMEOUT", 0.02)


def count_lists():
    return db.session.scalar(sa.select(sa.func.count()).select_from(MailingList))


@on_sqlite
def test_a_transaction_takes_the_write_lock_when_it_begins(real_app, impatient, other_writer):
    with pytest.raises(OperationalError, match="database is locked"):
        count_lists()


@on_sqlite
def test_whoever_only_reads_waits_for_nobody(real_app, impatient, other_writer):
    with read_transactions():
        assert count_lists() == 0
        db.session.rollback()


@on_sqlite
def test_after_reading_the_next_transaction_writes_again(real_app, impatient, other_writer):
    with read_transactions():
        count_lists()
        db.session.rollback()

    with pytest.raises(OperationalError, match="database is locked"):
        count_lists()


@on_sqlite
def test_a_get_request_reads_while_somebody_writes(real_app, client, impatient, other_writer):
    assert client.get("/subscribe").status_code == 200


@on_sqlite
def test_a_thread_that_began_reading_writes_after_saying_so(real_app, impatient, make_list):
    use_read_transactions()
    count_lists()

    restart_for_writing()
    make_list("uutiset")

    assert count_lists() == 1


@on_sqlite
def test_who_reads_first_and_writes_later_is_never_refused_half_way(real_app, make_list, other_writer):
    other_writer.execute("commit")
    assert count_lists() == 0
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        other_writer.execute("pragma busy_timeout=20").connection.execute("begin immediate")

    make_list("uutiset")

    assert count_lists() == 1


@on_sqlite
def test_many_writers_at_once_all_get_their_turn(real_app, now):
    def insert(number):
        row = {"slug": f"lista-{number}", "name": "x", "language": "fi", "topics": "", "frequency": ""}
        insert_or_ignore(MailingList, row | {"created_at": now})
        db.session.commit()

    at_once(real_app, *(partial(insert, number) for number in range(20)))

    assert count_lists() == 20


@on_sqlite
@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
def test_however_a_writer_ends_the_next_one_writes(real_app, impatient, end):
    ended = db.engine.connect()
    ended.execute(sa.text("insert into job_slots values ('one', 'slot', '2026-03-03 09:30:00')"))
    getattr(ended, end)()

    with db.engine.begin() as connection:
        connection.execute(sa.text("insert into job_slots values ('two', 'slot', '2026-03-03 09:30:00')"))
    ended.close()
