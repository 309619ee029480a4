"""Periodic jobs: each runs by itself, when it is due, on one of all workers, and leaves word of how it went.

A job that fails is tried again and named by ``/readyz``, ``/metrics``, the overview and the doctor; it
holds up no other.
"""

import enum
import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from newsletter.clock import utcnow
from newsletter.db import commits_without_fsync, db, execute_dml, insert_or_ignore, read_transactions
from newsletter.db.leases import dead_owners, owner
from newsletter.running.models import PeriodicRun

log = logging.getLogger(__name__)

#: After a failure it is tried again as soon as this, however seldom it runs.
RETRY = timedelta(minutes=5)
#: What a machine has told is forgotten when it has been silent for this long: it is gone.
_FORGET_AFTER = timedelta(days=1)
_PACKAGE = Path(__file__).parents[1]
_running: set[tuple[str, str]] = set()
_lock = threading.Lock()


class Scope(enum.Enum):
    """Who runs a job when it is due."""

    INSTALLATION = "installation"
    """One of all workers."""
    MACHINE = "machine"
    """One worker of each machine: it is about files of that machine."""
    WORKER = "worker"
    """Every worker: they share the work among themselves."""


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work that comes back. It looks up for itself what is due, and may be called twice."""

    name: str
    function: Callable[[], object]
    every: timedelta = timedelta(minutes=1)
    #: Longer than this it is taken to be stuck: it is named, and another worker may take it. None: it may
    #: take days.
    budget: timedelta | None = timedelta(minutes=10)
    scope: Scope = Scope.INSTALLATION
    #: Jobs of one lane run one after another in a worker; those of another lane do not wait for them.
    lane: str = "upkeep"

    @property
    def machine(self) -> str:
        """Return under which machine's name its runs are kept."""
        return "" if self.scope is Scope.INSTALLATION else socket.gethostname()


@dataclass(frozen=True, slots=True)
class Result:
    """How a run went: what the job returned, or what its error was."""

    value: object = None
    error: str | None = None


def run(job: Job, *, is_forced: bool = False) -> Result | None:
    """Run a job in transactions of its own if it is due and nobody is at it; None where it was not run.

    ``is_forced``: run it before its time. Nothing a job raises leaves this function; what the database
    raises before the job has begun does.
    """
    key = (job.name, job.machine)
    with _lock:
        if key in _running:
            return None
        _running.add(key)
    try:
        if not _claim(job, utcnow(), is_forced=is_forced):
            return None
        began = time.monotonic()
        result = _call(job)
        _record(job, result, utcnow(), time.monotonic() - began)
        return result
    finally:
        with _lock:
            _running.discard(key)


def states(jobs: Iterable[Job]) -> list[tuple[Job, PeriodicRun | None]]:
    """Return each job with what is known of its last runs; None where it never ran, or not on any machine."""
    rows: dict[str, list[PeriodicRun | None]] = {}
    for row in db.session.scalars(sa.select(PeriodicRun).execution_options(populate_existing=True)):
        rows.setdefault(row.name, []).append(row)
    nothing: list[PeriodicRun | None] = [None]
    return [(job, row) for job in jobs for row in rows.get(job.name, nothing)]


def forget_gone(now: datetime) -> int:
    """Forget what machines have told that are gone, and return how many rows that was."""
    is_old = sa.and_(PeriodicRun.machine != "", PeriodicRun.started_at < now - _FORGET_AFTER)
    return execute_dml(sa.delete(PeriodicRun).where(is_old))


def is_stuck(row: PeriodicRun, now: datetime) -> bool:
    """Tell whether the last run has not come to its end within its budget."""
    return row.leased_by is not None and row.leased_until is not None and row.leased_until < now


def _claim(job: Job, now: datetime, *, is_forced: bool) -> bool:
    """Take a job; false when it is not due or somebody else has it."""
    key = {"name": job.name, "machine": job.machine}
    with read_transactions():
        seen = db.session.execute(
            sa.select(
                PeriodicRun.due_at, PeriodicRun.leased_by, PeriodicRun.leased_until, PeriodicRun.runs
            ).filter_by(**key)
        ).one_or_none()
        db.session.rollback()
    if seen is not None and job.scope is not Scope.WORKER:
        # No due time lies further ahead than one turn: a clock that ran ahead must not stop the work.
        waits = seen.due_at is not None and now < seen.due_at <= now + job.every
        if (waits and not is_forced) or _is_held(seen.leased_by, seen.leased_until, now):
            return False
    with commits_without_fsync():
        if seen is None:
            insert_or_ignore(PeriodicRun, key | {"failures": 0, "runs": 0})
        mine = sa.update(PeriodicRun).filter_by(**key)
        if job.scope is not Scope.WORKER:
            mine = mine.where(PeriodicRun.runs == (seen.runs if seen else 0))
        taken = execute_dml(
            mine.values(
                runs=PeriodicRun.runs + 1,
                started_at=now,
                due_at=now + job.every,
                leased_by=owner(),
                leased_until=None if job.budget is None else now + job.budget,
            )
        )
        db.session.commit()
    return bool(taken)


def _is_held(holder: str | None, until: datetime | None, now: datetime) -> bool:
    # Our own name stands there when its end could not be written: the database was away.
    if holder is None or holder == owner() or dead_owners([holder]):
        return False
    return until is None or until >= now


def _call(job: Job) -> Result:
    try:
        value = job.function()
        db.session.commit()
    except Exception as problem:
        log.exception("periodic job failed", extra={"job": job.name})
        _roll_back()
        return Result(error=_described(problem))
    return Result(value)


def _record(job: Job, result: Result, now: datetime, seconds: float) -> None:
    values: dict[str, object] = {"leased_by": None, "leased_until": None, "seconds": seconds}
    if result.error is None:
        values |= {"succeeded_at": now, "failures": 0}
    else:
        values |= {
            "failed_at": now,
            "error": result.error,
            "failures": PeriodicRun.failures + 1,
            "due_at": now + min(job.every, RETRY),
        }
    row = sa.update(PeriodicRun).filter_by(name=job.name, machine=job.machine)
    try:
        with commits_without_fsync():
            execute_dml(row.values(values))
            db.session.commit()
    except SQLAlchemyError:
        log.exception("run not recorded", extra={"job": job.name})
        _roll_back()


def _roll_back() -> None:
    try:
        db.session.rollback()
    except SQLAlchemyError:
        db.session.remove()  # the connection is gone, and its transaction with it


def _described(problem: BaseException) -> str:
    """Return the kind of an error and the place in our code."""
    frames = traceback.extract_tb(problem.__traceback__)
    files = [(Path(frame.filename), frame.lineno) for frame in frames]
    ours = [place for place in files if place[0].is_relative_to(_PACKAGE) and place[0] != Path(__file__)]
    if not ours:
        return type(problem).__name__
    file, line = ours[-1]
    return f"{type(problem).__name__} in {file.relative_to(_PACKAGE)}:{line}"
