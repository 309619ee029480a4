"""Backup of the database while it is in use, and a restore that never brings erased people back.

A restored database carries a marker (a row of job_slots) from its first transaction on. While the marker is
there nothing is sent: whatever would send first replays the restore journal and then deletes the marker. A
backup contains neither the keys nor the journal.
"""

import contextlib
import logging
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from newsletter.config import current_settings
from newsletter.db import db, execute_dml
from newsletter.db.leases import try_job_lock
from newsletter.durable import restore_journal
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.privacy.backup.hold import hold_campaigns
from newsletter.privacy.backup.replay import replay_journal
from newsletter.privacy.models import JobSlot
from newsletter.privacy.retention.erasure import scrub_if_due

log = logging.getLogger(__name__)

#: The job slot that marks a restored database whose journal has not been replayed.
RESTORE_MARKER = "restore"
_PAGES_PER_STEP = 1000
#: Seconds to wait until other connections to the database are closed.
_LOCK_TIMEOUT = 2.0


class BackupFailed(NewsletterError):
    """The backup was not made, or is damaged."""

    message = N_("The backup cannot be used: %(reason)s")


class DatabaseBusy(NewsletterError):
    """Something else has the database open."""

    message = N_("The database is in use. Stop the newsletter everywhere, then restore.")


def create_backup(path: Path, *, now: datetime, actor: str) -> dict[str, object]:
    """Write a consistent copy of the database to a file, check it, and return path and size. Commits.

    Raises BackupFailed, and leaves no partial file.
    """
    audit.record("backup made", actor=actor, now=now)
    db.session.commit()
    partial = path.with_name(f".{path.name}.part")
    partial.unlink(missing_ok=True)
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        if current_settings().uses_sqlite:
            _copy_sqlite(partial)
        else:
            _run_tool("pg_dump", "--format=custom", "--no-owner", "--file", str(partial))
            _run_tool("pg_restore", "--list", str(partial), connected=False)
        partial.replace(path)
    except OSError as error:
        raise BackupFailed(reason=error.strerror or str(error)) from error
    finally:
        partial.unlink(missing_ok=True)
    return {"file": str(path), "bytes": path.stat().st_size}


def restore_backup(path: Path, *, now: datetime, actor: str, journals: Sequence[Path] = ()) -> dict[str, Any]:
    """Replace the database by a backup and replay the restore journal; return what that changed. Commits.

    ``last_act_at`` is when the last act in the backup was done: what came since is not in it.

    The journals of other machines are merged first. Raises DatabaseBusy while anything else has the
    database open, and BackupFailed. Killed at any moment, nothing is sent before the replay, which the
    next worker does.
    """
    if not path.is_file():
        raise BackupFailed(reason="there is no such file")
    for other in journals:
        restore_journal.merge_file(other)
    # With PostgreSQL, holding it would itself be the connection that is looked for.
    lock = (
        try_job_lock("restore")
        if current_settings().uses_sqlite
        else contextlib.nullcontext(enter_result=True)
    )
    with lock as acquired:
        if not acquired:
            raise DatabaseBusy
        db.session.remove()
        db.engine.dispose()
        if current_settings().uses_sqlite:
            _replace_sqlite(path, now)
        else:
            _replace_postgres(path, now)
    last = db.session.scalar(sa.select(sa.func.max(audit.AuditEntry.at)))
    audit.record("backup restored", actor=actor, now=now)
    db.session.commit()
    return finish_restore(now) | {"last_act_at": last.isoformat() if last else None}


def is_replay_pending() -> bool:
    """Tell whether this database was restored and the journal has not been replayed."""
    found = db.session.scalar(sa.select(JobSlot.taken_at).where(JobSlot.job == RESTORE_MARKER)) is not None
    db.session.rollback()
    return found


def ready_to_send(now: datetime) -> bool:
    """Tell whether mails may be sent; finishes a restore that was killed before its replay. Commits."""
    if not is_replay_pending():
        return True
    with try_job_lock("restore") as acquired:
        if acquired:
            finish_restore(now)
    return not is_replay_pending()


def finish_restore(now: datetime) -> dict[str, int]:
    """Replay the journal, hold campaigns and delete the marker; return the counts of changes. Commits."""
    counts = replay_journal(now) | hold_campaigns(now)
    scrub_if_due()
    execute_dml(sa.delete(JobSlot).where(JobSlot.job == RESTORE_MARKER))
    changed: dict[str, Any] = dict(counts)
    audit.record("journal replayed", actor="system", now=now, **changed)
    db.session.commit()
    log.info("journal replayed", extra=counts)
    return counts


# --- SQLite ----------------------------------------------------------------------------------------


def _copy_sqlite(path: Path) -> None:
    """Copy page by page with SQLite's backup API: writers continue, and changed pages are copied again."""
    with (
        contextlib.closing(sqlite3.connect(_database_file())) as source,
        contextlib.closing(sqlite3.connect(path)) as copy,
    ):
        source.backup(copy, pages=_PAGES_PER_STEP, sleep=0.01)
        copy.execute("PRAGMA journal_mode=DELETE")
        _check_sqlite(copy)


def _replace_sqlite(path: Path, now: datetime) -> None:
    staged = _database_file().with_name(f".{_database_file().name}.restoring")
    with _unlink_at_exit(staged):
        shutil.copyfile(path, staged)
        staged.chmod(0o600)
        with contextlib.closing(sqlite3.connect(staged)) as copy:
            _check_sqlite(copy)
            stamp = now.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
            copy.execute(
                "INSERT OR IGNORE INTO job_slots (job, slot, taken_at) VALUES (?, 'replay', ?)",
                (RESTORE_MARKER, stamp),
            )
            copy.commit()
        with contextlib.closing(sqlite3.connect(_database_file(), timeout=_LOCK_TIMEOUT)) as old:
            # Only whoever has the file alone can leave the write-ahead log; nobody gets in until we are done.
            try:
                old.execute("PRAGMA locking_mode=EXCLUSIVE")
                old.execute("PRAGMA journal_mode=DELETE").fetchone()
                old.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                raise DatabaseBusy from error
            staged.replace(_database_file())


def _check_sqlite(copy: sqlite3.Connection) -> None:
    try:
        found = copy.execute("PRAGMA integrity_check").fetchone()[0]
        copy.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise BackupFailed(reason=str(error)) from error
    if found != "ok":
        raise BackupFailed(reason=str(found))


def _database_file() -> Path:
    return Path(str(current_settings().database_url.database)).absolute()


@contextlib.contextmanager
def _unlink_at_exit(path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


# --- PostgreSQL ------------------------------------------------------------------------------------


def _wait_for_other_connections() -> None:
    """Wait until other connections, our own old ones included, are closed; raise DatabaseBusy."""
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    deadline = time.monotonic() + _LOCK_TIMEOUT
    with db.engine.connect() as connection:
        while connection.exec_driver_sql(others).scalar_one():
            connection.rollback()  # within one transaction the answer stays the same
            if time.monotonic() > deadline:
                raise DatabaseBusy
            time.sleep(0.05)


def _replace_postgres(path: Path, now: datetime) -> None:
    """Restore in one transaction that ends with the marker, so that no worker sees the data without it."""
    _wait_for_other_connections()
    db.engine.dispose()
    script = path.with_name(f".{path.name}.sql")
    with _unlink_at_exit(script):
        script.touch(0o600)
        _run_tool(
            "pg_restore",
            "--clean",
            "--if-exists",
            "--no-owner",
            "--file",
            str(script),
            str(path),
            connected=False,
        )
        with script.open("a", encoding="utf-8") as file:
            file.write(
                "\nINSERT INTO public.job_slots (job, slot, taken_at)"
                f" VALUES ('{RESTORE_MARKER}', 'replay', '{now.isoformat()}') ON CONFLICT DO NOTHING;\n"
            )
        _run_tool("psql", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--file", str(script))


def _run_tool(name: str, *arguments: str, connected: bool = True) -> None:
    program = shutil.which(name)
    if program is None:
        raise BackupFailed(reason=f"{name} is not installed; it comes with PostgreSQL's client programs")
    url = current_settings().database_url
    connection = ["--dbname", _without_password(url)] if connected else []
    done = subprocess.run(  # noqa: S603 - no shell, and our own arguments
        [program, *connection, *arguments],
        env={"PATH": str(Path(program).parent)} | ({"PGPASSWORD": str(url.password)} if url.password else {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BackupFailed(reason=done.stderr.strip().splitlines()[-1] if done.stderr.strip() else name)


def _without_password(url: URL) -> str:
    # libpq's own form; a password on a command line could be read by everybody on the machine.
    return url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
