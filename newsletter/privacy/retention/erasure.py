"""Immediate erasure of one person (GDPR art. 17), and removal of deleted bytes from the database files.

On SQLite deleted content is overwritten (secure_delete); ``scrub`` then truncates the write-ahead log and
returns free pages to the file system, so no file holds the old bytes. On PostgreSQL it runs VACUUM.
"""

import logging
import sqlite3
import time
from collections.abc import Sequence
from datetime import datetime
from typing import cast

import sqlalchemy as sa

from newsletter.db import db, execute_dml, insert_or_ignore, is_sqlite
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.privacy.everyone import (
    clear_dev_mailbox,
    erase_activity,
    erase_subscribers,
    is_on_hold,
    journal_erasure,
)
from newsletter.privacy.models import JobSlot
from newsletter.stats.rollups.ingest import load_local_logs
from newsletter.subscribers.queries import get_subscriber

log = logging.getLogger(__name__)

#: Pages SQLite returns to the file system at a time, so that writers are not held up.
VACUUM_PAGES = 1000
#: Attempts to truncate the write-ahead log, before it is left to the next sweep.
_CHECKPOINT_ATTEMPTS = 40
#: The tables that hold people, for PostgreSQL's vacuum.
_PERSONAL_TABLES = (
    "subscribers", "subscriptions", "signups", "fresh_links", "consents", "outbox", "deliveries",
    "bounces", "complaints", "events", "link_readers", "rights_requests", "disclosures", "holds", "audit",
    "statements", "notification_tasks", "recent_clicks", "address_parts",
)  # fmt: skip
#: Of these the indexes hold numbers alone, and going through them takes longer than the tables: the rows
#: are emptied here, and their entries in the indexes are left to autovacuum.
_NUMERIC_TABLES = ("events", "deliveries", "link_readers")


class PersonOnHold(NewsletterError):
    """A hold keeps the data: a law, an open invoice or a debt collection."""

    message = N_("This person's data is on hold for somebody else's reason. End the hold first.")


def erase_person(address: str, *, now: datetime, actor: str) -> dict[str, int]:
    """Erase one person at once and return how many rows went, by kind.

    Raises AddressInvalid, UnknownSubscriber or PersonOnHold. Commits as it goes; run again after a crash.
    """
    load_local_logs()  # for a person who has only just signed up
    return erase_subscriber(get_subscriber(address).id, now=now, actor=actor)


def erase_subscriber(subscriber_id: int, *, now: datetime, actor: str) -> dict[str, int]:
    """Do as ``erase_person`` for someone already found."""
    if is_on_hold(subscriber_id):
        raise PersonOnHold
    counts = erase_people([subscriber_id], now=now)
    audit.record("person erased", actor=actor, now=now, object=f"subscriber:{subscriber_id}")
    db.session.commit()
    scrub_if_due()
    return counts


def erase_people(subscriber_ids: Sequence[int], *, now: datetime) -> dict[str, int]:
    """Erase people, whether held or not; return the numbers of deleted rows by kind. Commits as it goes."""
    load_local_logs()  # what was fetched and is not in the tables yet would come back after the erasure
    journal_erasure(subscriber_ids, now=now)
    clear_dev_mailbox(subscriber_ids)
    db.session.rollback()
    # Killed from here on, the next sweep scrubs.
    insert_or_ignore(JobSlot, {"job": "scrub", "slot": "due", "taken_at": now})
    db.session.commit()
    counts = erase_activity(subscriber_ids) | erase_subscribers(subscriber_ids, now=now)
    db.session.commit()
    return counts


def scrub_if_due() -> None:
    """Scrub when something was erased since the last time. Commits."""
    due = sa.select(JobSlot.taken_at).where(JobSlot.job == "scrub")
    if db.session.scalar(due) is None:
        db.session.rollback()
        return
    if scrub():
        execute_dml(sa.delete(JobSlot).where(JobSlot.job == "scrub"))
        db.session.commit()


def scrub() -> bool:
    """Remove deleted bytes from the database files; False while a reader keeps the write-ahead log busy."""
    db.session.rollback()
    return _scrub_sqlite() if is_sqlite() else _scrub_postgres()


def _scrub_sqlite() -> bool:
    # Outside a transaction, where both pragmas work, and as a script: Python takes one step of any
    # other statement that gives no rows, and SQLite gives one page back at each step.
    with db.engine.connect().execution_options(begins="SELECT 1") as connection:
        free = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
        sqlite = cast("sqlite3.Connection", connection.connection.driver_connection)
        for _turn in range(0, free, VACUUM_PAGES):
            sqlite.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
        sqlite.executescript("")  # lets go of the read that SELECT 1 began
        for _try in range(_CHECKPOINT_ATTEMPTS):
            busy, _pages, _moved = sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return True
            time.sleep(0.05)
    log.warning("write-ahead log not emptied")
    return False


def _scrub_postgres() -> bool:
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in _PERSONAL_TABLES:
            options = "(INDEX_CLEANUP OFF)" if table in _NUMERIC_TABLES else ""
            connection.execute(sa.text(f"VACUUM {options} {table}"))
    return True
