"""Doctor checks of this machine: database, migrations, queue, clock, disk and keys."""

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

from newsletter.config import current_settings
from newsletter.db import db
from newsletter.mail.models import Grade, OutboxMail
from newsletter.running import migrations
from newsletter.running.monitoring import job_status
from newsletter.running.monitoring.health import MIN_DISK_BYTES, is_mail_waiting
from newsletter.wakeups import queue

#: Below this somebody should make room soon.
LOW_DISK_BYTES = 10 * MIN_DISK_BYTES
_START = "Start one: newsletter worker"
#: Clocks of two machines may differ by so much; links and leases mind nothing less.
MAX_CLOCK_DRIFT = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class DoctorResult:
    """The result of one check, as text for the console."""

    area: str
    grade: Grade
    message: str
    advice: str = ""


def database_revision() -> str | None:
    """Return the database's revision; None where it is empty or cannot be asked."""
    with suppress(SQLAlchemyError):
        return migrations.current_revision()
    return None


def is_migrated() -> bool:
    """Tell whether the database can be asked, and has this version's shape."""
    return database_revision() == migrations.head_revision()


def check_machine(now: datetime) -> list[DoctorResult]:
    """Run each check; one that fails does not keep the others from running."""
    looks: list[tuple[str, Callable[[datetime], Iterator[DoctorResult]]]] = [
        ("database", _check_database),
        ("queue", _check_queue),
        ("disk", _check_disk),
        ("keys", _check_keys),
    ]
    if is_migrated():
        looks += [("clock", _check_clock), ("worker", _check_worker)]
    found = []
    for area, look in looks:
        try:
            found += list(look(now))
        except Exception as error:  # noqa: BLE001 - whatever is broken is what is to be told
            # The kind alone: an error of a database driver may name its password.
            found.append(DoctorResult(area, Grade.FAILED, f"It cannot be used: {type(error).__name__}."))
    db.session.rollback()
    return found


def _check_database(_now: datetime) -> Iterator[DoctorResult]:
    engine = current_settings().database_url.get_backend_name()
    current, newest = migrations.current_revision(), migrations.head_revision()
    yield DoctorResult("database", Grade.FINE, f"The {engine} database answers.")
    if current == newest:
        yield DoctorResult("migrations", Grade.FINE, f"The database has this version's shape ({newest}).")
    elif current is None:
        yield DoctorResult("migrations", Grade.NOTE, "The database is empty: the first start fills it.")
    else:
        message = f"The database is at {current}, this version at {newest}."
        yield DoctorResult("migrations", Grade.FAILED, message, "Bring it up: newsletter db upgrade")


def _check_queue(_now: datetime) -> Iterator[DoctorResult]:
    waiting = queue(current_app).storage.queue_size()
    yield DoctorResult("queue", Grade.FINE, f"The queue answers; {waiting} wake-ups wait.")


def _check_disk(_now: datetime) -> Iterator[DoctorResult]:
    free = shutil.disk_usage(current_settings().instance_path).free
    grade = Grade.FAILED if free < MIN_DISK_BYTES else Grade.NOTE if free < LOW_DISK_BYTES else Grade.FINE
    advice = "" if grade is Grade.FINE else "Make room: without it nothing new is stored."
    yield DoctorResult("disk", grade, f"{free // 1_000_000} MB are free in the instance folder.", advice)


def _check_keys(_now: datetime) -> Iterator[DoctorResult]:
    instance = current_settings().instance_path
    files = [instance / name for name in ("secret_key", "suppression_key") if (instance / name).exists()]
    for path in files:
        if _is_readable_by_others(path):
            message = f"Others on this machine can read {path.name}."
            yield DoctorResult("keys", Grade.FAILED, message, f"chmod 600 {path}")
    if not any(map(_is_readable_by_others, files)):
        yield DoctorResult("keys", Grade.FINE, "The keys are there, and no file of them is open to others.")


def _is_readable_by_others(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _check_clock(now: datetime) -> Iterator[DoctorResult]:
    if current_settings().uses_sqlite:
        # There is one clock only; what it can do wrong is to go back.
        last = db.session.scalar(sa.select(sa.func.max(OutboxMail.created_at)))
        drift = last - now if last else timedelta()
        message = "Mails are dated later than now: the clock has gone back."
    else:
        told = db.session.execute(sa.text("select clock_timestamp()")).scalar_one()
        drift = abs(told - now)
        message = f"This machine and the database are {drift.total_seconds():.0f} seconds apart."
    if drift > MAX_CLOCK_DRIFT:
        yield DoctorResult("clock", Grade.FAILED, message, "Let the machines set their clocks by NTP.")
    else:
        yield DoctorResult(
            "clock", Grade.FINE, f"It is {now.astimezone(current_settings().timezone):%Y-%m-%d %H:%M %z}."
        )


def _check_worker(now: datetime) -> Iterator[DoctorResult]:
    if job_status.is_silent(now):
        yield DoctorResult("worker", Grade.NOTE, "No worker has been at work for ten minutes.", _START)
    if is_mail_waiting(now):
        yield DoctorResult("worker", Grade.NOTE, "Mails wait and no worker takes them.", _START)
    for _job, row in job_status.failing(now):
        message = f"{job_status.describe(row)}."
        yield DoctorResult("worker", Grade.FAILED, message, "The worker's log has the whole of it.")
