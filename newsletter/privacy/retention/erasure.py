"""Erasure of one person at once, and what leaves no old bytes behind.

On SQLite deleted content is overwritten (secure_delete); ``scrub`` then empties the write-ahead log
and gives free pages back, so no file holds the old bytes. On PostgreSQL it vacuums.
"""

import logging
import sqlite3
import time
from collections.abc import Sequence
from datetime import datetime
from typing import cast

import sqlalchemy as sa

from newsletter.db import change, db, insert_or_ignore, is_sqlite
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.privacy.everyone import erase_records, erase_rows, forget_mailbox, is_held, note_erasure
from newsletter.privacy.models import JobSlot
from newsletter.stats.rollups.ingest import load_spool
from newsletter.subscribers.queries import get_subscriber

log = logging.getLogger(__name__)

#: Pages that SQLite's file gives back at a time, so that writers get their turn.
FREED = 1000
#: How often the write-ahead log is tried before the next sweep has to.
_TRIES = 40
#: The tables that hold people, for PostgreSQL's vacuum.
_TABLES = (
    "subscribers", "subscriptions", "signups", "fresh_links", "consents", "outbox", "deliveries",
    "bounces", "complaints", "events", "link_readers", "rights_requests", "disclosures", "holds", "audit",
    "statements", "notification_tasks", "recent_clicks", "address_parts",
)  # fmt: skip
#: Of these the indexes hold numbers alone, and going through them takes longer than the tables: the rows
#: are emptied here, and their entries in the indexes are left to autovacuum.
_NUMBERED = ("events", "deliveries", "link_readers")


class PersonHeld(NewsletterError):
    """A law, an open invoice or a collection keeps the data."""

    message = N_("This person's data is on hold for somebody else's reason. End the hold first.")


def erase_person(address: str, *, now: datetime, actor: str) -> dict[str, int]:
    """Erase one person at once and return how many rows went, by kind.

    Raises AddressInvalid, UnknownSubscriber or PersonHeld. Commits as it goes; run again after a crash.
    """
    load_spool()  # who has signed up a moment ago is somebody too
    return erase_subscriber(get_subscriber(address).id, now=now, actor=actor)


def erase_subscriber(subscriber_id: int, *, now: datetime, actor: str) -> dict[str, int]:
    """Do as ``erase_person`` for someone already found."""
    if is_held(subscriber_id):
        raise PersonHeld
    counts = erase_people([subscriber_id], now=now)
    audit.record("person erased", actor=actor, now=now, object=f"subscriber:{subscriber_id}")
    db.session.commit()
    scrub_if_due()
    return counts


def erase_people(subscriber_ids: Sequence[int], *, now: datetime) -> dict[str, int]:
    """Erase some people; return how many rows went, by kind. Commits as it goes."""
    load_spool()  # what was fetched and is not in the tables yet would come back after the erasure
    note_erasure(subscriber_ids, now=now)
    forget_mailbox(subscriber_ids)
    db.session.rollback()
    # Killed from here on, the next sweep scrubs.
    insert_or_ignore(JobSlot, {"job": "scrub", "slot": "due", "taken_at": now})
    db.session.commit()
    counts = erase_records(subscriber_ids) | erase_rows(subscriber_ids, now=now)
    db.session.commit()
    return counts


def scrub_if_due() -> None:
    """Scrub when something was erased since the last time. Commits."""
    due = sa.select(JobSlot.taken_at).where(JobSlot.job == "scrub")
    if db.session.scalar(due) is None:
        db.session.rollback()
        return
    if scrub():
        change(sa.delete(JobSlot).where(JobSlot.job == "scrub"))
        db.session.commit()


def scrub() -> bool:
    """Leave no old bytes in the database's files; False when a reader kept the write-ahead log busy."""
    db.session.rollback()
    return _scrub_sqlite() if is_sqlite() else _vacuum()


def _scrub_sqlite() -> bool:
    # Outside a transaction, where both pragmas work, and as a script: Python takes one step of any
    # other statement that gives no rows, and SQLite gives one page back at each step.
    with db.engine.connect().execution_options(begins="SELECT 1") as connection:
        free = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
        sqlite = cast("sqlite3.Connection", connection.connection.driver_connection)
        for _turn in range(0, free, FREED):
            sqlite.executescript(f"PRAGMA incremental_vacuum({FREED})")
        sqlite.executescript("")  # lets go of the read that SELECT 1 began
        for _try in range(_TRIES):
            busy, _pages, _moved = sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return True
            time.sleep(0.05)
    log.warning("write-ahead log not emptied")
    return False


def _vacuum() -> bool:
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in _TABLES:
            options = "(INDEX_CLEANUP OFF)" if table in _NUMBERED else ""
            connection.execute(sa.text(f"VACUUM {options} {table}"))
    return True
