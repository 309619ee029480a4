"""RP-1: the run of the year: once, whoever asks, and a kill costs it nothing but time."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from newsletter.db import Base, db, read_transactions
from newsletter.durable.log_loader import loader_lock
from newsletter.ledger.audit import AuditEntry
from newsletter.privacy.models import JobSlot, PurgeRun
from newsletter.privacy.retention.daily import count_overdue
from newsletter.privacy.retention.purge import purge_if_due
from newsletter.sending.models import Delivery
from tests.privacy.purging import DUE, LEFT, addresses, event_times, report
from tests.tracking.hits import spool_folder


def runs() -> Sequence[PurgeRun]:
    db.session.rollback()
    return db.session.scalars(sa.select(PurgeRun).order_by(PurgeRun.id)).all()


def test_the_run_of_a_year_begins_on_15_january_at_three(real_app):
    begun = []
    for now in (DUE - timedelta(days=14), DUE - timedelta(seconds=1), DUE, DUE + timedelta(days=1)):
        purge_if_due(now)
        begun.append(len(runs()))

    assert begun == [0, 0, 1, 1]


@pytest.mark.parametrize("engine", ["sqlite"])
def test_after_a_standstill_it_catches_up_while_it_is_january(real_app, make_subscriber):
    make_subscriber(status=LEFT)

    purge_if_due(datetime(2027, 1, 31, 21, 30, tzinfo=UTC))

    assert addresses() == []


@pytest.mark.parametrize("engine", ["sqlite"])
def test_it_does_not_begin_in_february(real_app, make_subscriber):
    make_subscriber("eero@example.com", status=LEFT)

    purge_if_due(datetime(2027, 1, 31, 22, 30, tzinfo=UTC))

    assert addresses() == ["eero@example.com"]


@pytest.mark.parametrize("engine", ["sqlite"])
def test_it_comes_again_the_next_year(real_app):
    purge_if_due(DUE)
    purge_if_due(DUE.replace(year=2028))

    assert [run.started_at.year for run in runs()] == [2027, 2028]


@pytest.mark.parametrize("engine", ["sqlite"])
def test_rp1_on_the_31st_a_run_that_has_not_been_is_pointed_out(real_app):
    days = [datetime(2027, 1, day, 10, tzinfo=UTC) for day in (30, 31)]
    before = [count_overdue(day)["purge_missing"] for day in days]

    purge_if_due(days[1])

    assert (before, count_overdue(days[1])["purge_missing"]) == ([0, 1], 0)


class Killed(BaseException):
    """The process ends here."""


@contextmanager
def killed_at_commit(number: int) -> Iterator[None]:
    """End everything right after the so manieth commit, if there are so many."""
    commits = count(1)

    def after_commit(_session: Session) -> None:
        if next(commits) == number:
            raise Killed

    sa.event.listen(Session, "after_commit", after_commit)
    try:
        with suppress(Killed):
            yield
    finally:
        sa.event.remove(Session, "after_commit", after_commit)
        db.session.remove()


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_run_that_was_killed_is_finished_by_the_next_sweep(
    real_app, make_list, make_subscriber, send, make_event, number
):
    fi = make_list()
    make_subscriber("aino@example.com", [fi])
    goes = make_subscriber("eero@example.com", [fi])
    send(fi)
    make_event(DUE - timedelta(days=30))
    goes.subscriptions[0].status, goes.subscriptions[0].unsubscribed_at = LEFT, goes.created_at
    db.session.commit()

    with killed_at_commit(number):
        purge_if_due(DUE)
    purge_if_due(DUE + timedelta(minutes=1))

    assert (addresses(), event_times()) == (["aino@example.com"], [])
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Delivery)) == 1
    assert [run for run in runs() if run.finished_at is None] == []


def test_of_two_workers_one_runs_it(real_app, make_subscriber):
    """The first is held up in the middle; the second finds the run taken and goes on with its own work."""
    make_subscriber(status=LEFT)
    db.session.rollback()

    def sweep() -> None:
        with real_app.app_context():
            purge_if_due(DUE)

    with ThreadPoolExecutor(2) as pool:
        with loader_lock(spool_folder(real_app)):
            first = pool.submit(sweep)
            wait_until(lambda: number_of(JobSlot) == 1)
            time.sleep(0.1)  # for the first to get as far as it can
            second = pool.submit(sweep)
            wait_until(lambda: second.done() or number_of(PurgeRun) == 2)
        first.result()
        second.result()

    assert number_of(PurgeRun) == 1


def number_of(table: type[Base]) -> int:
    with read_transactions():  # on SQLite, whoever asks for more than this holds the others up
        number = db.session.scalar(sa.select(sa.func.count()).select_from(table)) or 0
        db.session.rollback()
    return number


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_leaves_a_report_that_names_nobody(real_app, make_subscriber, caplog):
    make_subscriber("eero@example.com", status=LEFT)

    purge_if_due(DUE)

    (run,) = runs()
    assert (run.started_at, run.finished_at, run.counts) == (
        DUE,
        DUE,
        report(people=1, subscriptions=1),
    )
    assert [(slot.job, slot.slot) for slot in db.session.scalars(sa.select(JobSlot))] == [("purge", "2027")]
    acts = [entry.action for entry in db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id))]
    assert acts == ["purge started", "purge finished"]
    assert "eero" not in caplog.text
