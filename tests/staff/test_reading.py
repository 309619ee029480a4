"""A look at a staff page reads: it waits for no writer, and no writer waits for it."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from newsletter.db import db
from newsletter.privacy.models import RequestKind
from newsletter.privacy.requests import register
from newsletter.staff.matrix import matrix_rows
from newsletter.staff.models import Role
from tests.staff.test_list_access import address
from tests.support.clock import NOW

#: They show a person, and who looked is written down.
WRITING = {
    "/staff/subscribers/",
    "/staff/subscribers/<int:subscriber_id>",
    "/staff/privacy/requests/<int:number>",
    "/staff/privacy/requests/<int:number>/letter",
}
CHANGES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


@pytest.fixture
def engine() -> str:
    return "sqlite"  # PostgreSQL has no lock of the kind


@pytest.fixture
def said(real_app):
    """What SQLite is told, statement by statement."""
    statements: list[str] = []

    def listen(connection, _record, _proxy) -> None:
        connection.set_trace_callback(statements.append)

    event.listen(db.engine, "checkout", listen)
    yield statements
    event.remove(db.engine, "checkout", listen)


@pytest.fixture
def locking(real_app):
    """What would lock rows on PostgreSQL; SQLite leaves the words away."""
    statements: list[str] = []

    def listen(state) -> None:
        if isinstance(state.statement, sa.Select) and state.statement._for_update_arg is not None:
            statements.append(str(state.statement))

    event.listen(db.session, "do_orm_execute", listen)
    yield statements
    event.remove(db.session, "do_orm_execute", listen)


def test_only_the_pages_that_show_a_person_write(
    real_app, client, enter, make_campaign, make_subscriber, said, locking
):
    campaign, person = make_campaign(), make_subscriber()
    made = register.record_request(
        RequestKind.ACCESS, "meri@example.com", channel="mail", language="fi", now=NOW, actor="staff:1"
    )
    db.session.commit()
    account = enter(role=Role.ADMIN)
    numbers = {"<int:subscriber_id>": person.id, "<int:number>": made.id}
    took_lock, changed, locked = set(), set(), set()
    for row in matrix_rows(real_app):
        if row.method != "GET":
            continue
        path = row.path
        own = numbers | ({"<int:number>": account.id} if "accounts" in path else {})
        for part, number in own.items():
            path = path.replace(part, str(number))
        path = address(path, campaign, "uutiset")
        db.session.rollback()
        said.clear()
        locking.clear()
        assert client.get(path).status_code < 500
        if locking:
            locked.add(row.path)
        if any(statement.startswith("BEGIN IMMEDIATE") for statement in said):
            took_lock.add(row.path)
        if any(statement.startswith(CHANGES) for statement in said):
            changed.add(row.path)

    assert (took_lock, changed, locked) == (WRITING, WRITING, set())


def test_that_a_session_is_in_use_is_written_once_a_minute(real_app, client, enter, said, clock):
    enter()

    locks = []
    for seconds in (30, 31, 1, 58, 1):
        clock.shift(timedelta(seconds=seconds))
        said.clear()
        assert client.get("/staff/campaigns").status_code == 200
        locks.append(sum(statement.startswith("BEGIN IMMEDIATE") for statement in said))

    assert locks == [0, 1, 0, 0, 1]
