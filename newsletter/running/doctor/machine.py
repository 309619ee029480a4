"""What the doctor looks at on this machine: database, migrations, queue, clock, disk and keys."""

import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from flask import current_app
from sqlalchemy.exc import SQLAlchemyError

from newsletter.config import settings
from newsletter.db import db
from newsletter.mail.models import Grade, OutboxMail
from newsletter.running import job_status, migrations
from newsletter.running.health import LEAST_DISK, is_mail_waiting
from newsletter.wakeups import queue

#: Below this somebody should make room soon.
LITTLE_DISK = 10 * LEAST_DISK
_START = "Start one: newsletter worker"
#: Clocks of two machines may differ by so much; links and leases mind nothing less.
DRIFT = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that was looked at, in the words of the console."""

    area: str
    grade: Grade
    message: str
    advice: str = ""


def revision() -> str | None:
    """Return the database's revision; None where it is empty or cannot be asked."""
    with suppress(SQLAlchemyError):
        return migrations.current()
    return None


def is_ready() -> bool:
    """Tell whether the database can be asked, and has this version's shape."""
    return revision() == migrations.newest()


def look_at_machine(now: datetime) -> list[Point]:
    """Look at each part; one that cannot be asked does not keep the others from it."""
    looks: list[tuple[str, Callable[[datetime], Iterator[Point]]]] = [
        ("database", _database),
        ("queue", _queue),
        ("disk", _disk),
        ("keys", _keys),
    ]
    if is_ready():
        looks += [("clock", _clock), ("worker", _worker)]
    found = []
    for area, look in looks:
        try:
            found += list(look(now))
        except Exception as error:  # noqa: BLE001 - whatever is broken is what is to be told
            # The kind alone: an error of a database driver may name its password.
            found.append(Point(area, Grade.FAILED, f"It cannot be used: {type(error).__name__}."))
    db.session.rollback()
    return found


def _database(_now: datetime) -> Iterator[Point]:
    engine = settings().database_url.get_backend_name()
    current, newest = migrations.current(), migrations.newest()
    yield Point("database", Grade.FINE, f"The {engine} database answers.")
    if current == newest:
        yield Point("migrations", Grade.FINE, f"The database has this version's shape ({newest}).")
    elif current is None:
        yield Point("migrations", Grade.NOTE, "The database is empty: the first start fills it.")
    else:
        message = f"The database is at {current}, this version at {newest}."
        yield Point("migrations", Grade.FAILED, message, "Bring it up: newsletter db upgrade")


def _queue(_now: datetime) -> Iterator[Point]:
    waiting = queue(current_app).storage.queue_size()
    yield Point("queue", Grade.FINE, f"The queue answers; {waiting} wake-ups wait.")


def _disk(_now: datetime) -> Iterator[Point]:
    free = shutil.disk_usage(settings().instance_path).free
    grade = Grade.FAILED if free < LEAST_DISK else Grade.NOTE if free < LITTLE_DISK else Grade.FINE
    advice = "" if grade is Grade.FINE else "Make room: without it nothing new is stored."
    yield Point("disk", grade, f"{free // 1_000_000} MB are free in the instance folder.", advice)


def _keys(_now: datetime) -> Iterator[Point]:
    instance = settings().instance_path
    files = [instance / name for name in ("secret_key", "suppression_key") if (instance / name).exists()]
    for path in files:
        if _is_open(path):
            message = f"Others on this machine can read {path.name}."
            yield Point("keys", Grade.FAILED, message, f"chmod 600 {path}")
    if not any(map(_is_open, files)):
        yield Point("keys", Grade.FINE, "The keys are there, and no file of them is open to others.")


def _is_open(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _clock(now: datetime) -> Iterator[Point]:
    if settings().uses_sqlite:
        # There is one clock only; what it can do wrong is to go back.
        last = db.session.scalar(sa.select(sa.func.max(OutboxMail.created_at)))
        drift = last - now if last else timedelta()
        message = "Mails are dated later than now: the clock has gone back."
    else:
        told = db.session.execute(sa.text("select clock_timestamp()")).scalar_one()
        drift = abs(told - now)
        message = f"This machine and the database are {drift.total_seconds():.0f} seconds apart."
    if drift > DRIFT:
        yield Point("clock", Grade.FAILED, message, "Let the machines set their clocks by NTP.")
    else:
        yield Point("clock", Grade.FINE, f"It is {now.astimezone(settings().timezone):%Y-%m-%d %H:%M %z}.")


def _worker(now: datetime) -> Iterator[Point]:
    if job_status.is_silent(now):
        yield Point("worker", Grade.NOTE, "No worker has been at work for ten minutes.", _START)
    if is_mail_waiting(now):
        yield Point("worker", Grade.NOTE, "Mails wait and no worker takes them.", _START)
    for _job, row in job_status.failing(now):
        message = f"{job_status.describe(row)}."
        yield Point("worker", Grade.FAILED, message, "The worker's log has the whole of it.")
