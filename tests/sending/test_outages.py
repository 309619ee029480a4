"""The database goes away, is locked or full while a campaign is sent: nothing lost, nothing doubled."""

import resource
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

import newsletter.db
from newsletter.campaigns.models import Campaign
from newsletter.db import db
from newsletter.sending import deliver
from tests.support.smtp import SmtpServer

READERS = 120


@pytest.fixture
def sent_despite(
    real_app, make_app, make_list, make_readers, start, smtp_server, outcome, monkeypatch
) -> Callable[[Callable[[], None]], None]:
    """Send a campaign while something happens to its database, and hold that all have it once."""
    monkeypatch.setattr(newsletter.db, "PATIENCE", 0.05)

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
