"""Wake-ups: task messages (huey) that tell the workers that a job has work.

The work itself is always rows in our tables, so a lost or doubled message is harmless: the sweep of
each minute finds the same rows. A message is sent only after the commit of what it is about.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, current_app
from huey import Huey, MemoryHuey, PostgresHuey, RedisHuey, SqliteHuey
from huey.serializer import SignedSerializer
from sqlalchemy import event
from sqlalchemy.orm import Session

from newsletter.config import Settings
from newsletter.db import db

log = logging.getLogger(__name__)


#: A job takes nothing, and nobody asks what it returns: it looks up for itself what is due.
Job = Callable[[], object]


def init_app(app: Flask, chosen: Settings) -> None:
    """Open the queue named by QUEUE_URL."""
    app.extensions["newsletter.queue"] = huey = open_queue(chosen)
    app.extensions["newsletter.jobs"] = {}

    @huey.task(name="newsletter.wake")  # type: ignore[untyped-decorator]
    def run(job: str) -> None:
        huey.storage.delete_data(_pending_key(job))  # first: what is committed from here on wakes anew
        with app.app_context():
            app.extensions["newsletter.jobs"][job]()

    app.extensions["newsletter.wake"] = run


def register(app: Flask, jobs: Mapping[str, Job]) -> None:
    """Say which function each wake-up calls."""
    app.extensions["newsletter.jobs"].update(jobs)


def open_queue(chosen: Settings) -> Huey:
    """Return the huey of these settings; the same code on SQLite, PostgreSQL and Redis."""
    url = chosen.queue
    scheme = urlsplit(url).scheme.split("+")[0]
    # Pickle by default: signed, so that write access to the queue is not code execution.
    common: dict[str, Any] = {
        "results": False,
        "serializer": SignedSerializer(secret=chosen.secret_key),
    }
    if scheme == "memory":
        return MemoryHuey("newsletter", **common)
    if scheme in {"redis", "rediss", "unix"}:
        return RedisHuey("newsletter", url=url, **common)
    if scheme in {"postgresql", "postgres"}:
        dsn = url.replace(f"{urlsplit(url).scheme}://", "postgresql://", 1)
        return PostgresHuey("newsletter", dsn=dsn, **common)
    return SqliteHuey("newsletter", filename=str(Path(url.removeprefix("sqlite:///"))), **common)


def queue(app: Flask) -> Huey:
    """Return the application's queue."""
    huey: Huey = app.extensions["newsletter.queue"]
    return huey


def wake_after_commit(job: str) -> None:
    """Wake the workers for a job once the current transaction has been committed."""
    db.session.info.setdefault("wakeups", set()).add(job)


def wake_now(job: str) -> None:
    """Wake the workers for a job at once, where nothing has to be committed first."""
    current_app.extensions["newsletter.wake"](job)


def clear_pending() -> None:
    """Delete the marks of pending wake-ups: a worker may have died with one in its hands."""
    huey = queue(current_app)
    for job in current_app.extensions["newsletter.jobs"]:
        huey.storage.delete_data(_pending_key(job))


def wake_unless_pending(job: str) -> None:
    """Call ``wake_now`` unless a wake-up of this job is pending: a flood needs only one message."""
    storage = queue(current_app).storage
    if not storage.has_data_for_key(_pending_key(job)):
        storage.put_data(_pending_key(job), b"1")
        wake_now(job)


def _pending_key(job: str) -> str:
    return f"waiting.{job}"


@event.listens_for(Session, "after_commit")
def _send_after_commit(session: Session) -> None:
    for job in sorted(session.info.pop("wakeups", ())):
        try:
            wake_unless_pending(job)
        except Exception:
            # The work itself is committed; the sweep will find it within a minute.
            log.exception("wake-up failed", extra={"job": job})


@event.listens_for(Session, "after_rollback")
def _discard_after_rollback(session: Session) -> None:
    session.info.pop("wakeups", None)
