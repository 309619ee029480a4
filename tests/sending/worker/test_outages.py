"""The database goes away, is locked or full while a campaign is sent: nothing lost, nothing doubled."""

import resource
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from newsletter.campaigns.models import Campaign
from newsletter.db import db, sqlite_write_lock
from newsletter.sending.worker import deliver
from tests.support.smtp import SmtpServer

READERS = 120


@pytest.fixture
def sent_despite(
    real_app, make_app, make_list, make_readers, start, smtp_server, outcome, monkeypatch
) -> Callable[[Callable[[], None]], None]:
    """Send a campaign while something happens to its database, and hold that all have it once."""
    monkeypatch.setattr(sqlite_write_lock, "LOCK_TIMEOUT", 0.05)

    def play(happens: Callable[[], None]) -> None:
        fi = make_list()
        addresses = make_readers(fi, READERS)
        campaign: Campaign = start([fi])
        app = make_app(**smtp_server.settings, mail_connections=3)
        db.session.rollback()

        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(_send_all, app)
            _wait_for(20, smtp_server)
            happens()
            sending.result(60)
        db.engine.dispose()  # our own connections were ended too

        assert sorted(mail.recipients[0] for mail in smtp_server.handed_over) == addresses
        assert outcome(campaign) == {"accepted": READERS}

    return play


def _send_all(app: Flask) -> None:
    """Do as a worker, which is woken again after a pass that failed."""
    with app.app_context():
        for _pass in range(20):
            with suppress(OperationalError):
                deliver.deliver_due()
                return
            db.session().invalidate()
            time.sleep(0.05)


def _wait_for(number: int, server: SmtpServer) -> None:
    deadline = time.monotonic() + 30
    while len(server.handed_over) < number:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("engine", ["postgresql"])
def test_connections_that_the_database_ends_are_made_anew(sent_despite, fresh_database, smtp_server):
    def end_them() -> None:
        for number in (30, 60, 90):
            _end_connections(fresh_database)
            _wait_for(number, smtp_server)

    sent_despite(end_them)


@pytest.mark.parametrize("engine", ["postgresql"])
def test_a_database_that_is_away_for_a_while_is_waited_for(sent_despite, fresh_database):
    def go_away() -> None:
        with _as_superuser(fresh_database) as connection:
            connection.execute(f"ALTER DATABASE {fresh_database.database} ALLOW_CONNECTIONS false".encode())
            _end_connections(fresh_database)
            time.sleep(0.5)
            connection.execute(f"ALTER DATABASE {fresh_database.database} ALLOW_CONNECTIONS true".encode())

    sent_despite(go_away)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_database_locked_for_longer_than_we_wait_is_tried_again(sent_despite, fresh_database):
    def lock() -> None:
        with closing(sqlite3.connect(fresh_database.database, isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(0.4)
            other.execute("ROLLBACK")

    sent_despite(lock)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_full_disk_is_waited_out(sent_despite, fresh_database):
    def fill() -> None:
        log = Path(f"{fresh_database.database}-wal")
        with _no_file_larger_than(log.stat().st_size):
            time.sleep(0.4)

    sent_despite(fill)


@pytest.mark.parametrize("engine", ["postgresql"])
def test_a_mark_whose_commit_was_not_confirmed_leaves_nobody_in_doubt(
    real_app, make_app, make_list, make_readers, start, smtp_server, outcome
):
    fi = make_list()
    addresses = make_readers(fi, 3)
    campaign = start([fi])
    app = make_app(**smtp_server.settings)
    db.session.rollback()

    with app.app_context(), _GoesWithTheMark(), pytest.raises(OperationalError):
        deliver.deliver_due()
    marked = outcome(campaign)
    db.session.rollback()
    _send_all(app)

    assert marked == {"sending": 1, "queued": 2}
    assert [mail.recipients[0] for mail in smtp_server.handed_over] == addresses
    assert outcome(campaign) == {"accepted": 3}


@pytest.mark.parametrize("engine", ["postgresql"])
def test_a_mail_broken_off_by_a_fault_of_ours_is_uncertain_at_once(
    start, make_list, make_readers, send_due, smtp_app, outcome, monkeypatch
):
    fi = make_list()
    make_readers(fi, 3)
    campaign = start([fi])

    def fail(line: socket.socket, content: bytes) -> int:
        if b"Subject:" in content:
            raise RuntimeError
        return _send(line, content)

    _send = socket.socket.send
    monkeypatch.setattr(socket.socket, "send", fail)
    with pytest.raises(RuntimeError):
        send_due(smtp_app)
    then = outcome(campaign)
    monkeypatch.undo()
    send_due(smtp_app)

    assert (then, outcome(campaign)) == ({"uncertain": 1, "queued": 2}, {"uncertain": 1, "accepted": 2})


@pytest.mark.parametrize("engine", ["postgresql"])
def test_a_mailbox_on_a_full_disk_is_tried_again(
    start, make_list, make_readers, send_due, outgoing, outcome, clock
):
    fi = make_list()
    addresses = make_readers(fi, 2)
    campaign = start([fi])

    with _no_file_larger_than(100):
        send_due()
    then = outcome(campaign)
    clock.shift(timedelta(minutes=1))
    send_due()

    assert (then, outcome(campaign)) == ({"deferred": 2}, {"accepted": 2})
    assert [address for address, _subject in outgoing.subjects] == addresses


class _GoesWithTheMark:
    """A database that goes away when it has marked somebody: nobody hears of it, nobody connects again."""

    def __init__(self) -> None:
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> None:
        execute = psycopg.Cursor.execute

        def execute_and_go(cursor: psycopg.Cursor, query: str, *given: Any) -> psycopg.Cursor:
            done = execute(cursor, query, *given)
            if cursor.connection.autocommit and "UPDATE deliveries" in query:
                cursor.connection.close()
                self._patch.setattr(psycopg, "connect", _refuse)
                raise psycopg.OperationalError("server closed the connection unexpectedly")
            return done

        self._patch.setattr(psycopg.Cursor, "execute", execute_and_go)

    def __exit__(self, *_error: object) -> None:
        self._patch.undo()


def _refuse(*_given: object, **_named: object) -> psycopg.Connection:
    raise psycopg.OperationalError("connection refused")


@contextmanager
def _as_superuser(url) -> Iterator[psycopg.Connection]:
    server = url.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    with closing(psycopg.connect(server, autocommit=True)) as connection:
        yield connection


def _end_connections(url) -> None:
    with _as_superuser(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [url.database]
        )


@contextmanager
def _no_file_larger_than(size: int) -> Iterator[None]:
    """Let writes of this process behind that size fail, as they do on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
