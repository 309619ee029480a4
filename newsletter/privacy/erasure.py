"""Erasure of people, in the order of the tables that know them.

Lower rooms first, the person last: killed half-way, the person is still there and the next run
finds them again. On SQLite deleted content is overwritten (secure_delete); ``scrub`` then empties
the write-ahead log and gives free pages back, so no file holds the old bytes.
"""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

import sqlalchemy as sa

from newsletter import audit
from newsletter.config import settings
from newsletter.db import db, is_sqlite
from newsletter.mail.mailbox import forget_mails_to
from newsletter.sending import personal_data as sending_data
from newsletter.stats.rollups import load_spool
from newsletter.subscribers import personal_data as subscriber_data
from newsletter.subscribers.models import Subscriber
from newsletter.subscribers.queries import get_subscriber
from newsletter.tracking import personal_data as tracking_data

#: Proof of consent is kept until the end of the third year after the person went (RP-4).
PROOF_YEARS = 3
#: Pages that SQLite's file gives back at a time, so that writers get their turn.
FREED = 1000


def erase_person(address: str, *, now: datetime, actor: str) -> dict[str, int]:
    """Erase one person at once and return how many rows went, by kind.

    Raises AddressInvalid or UnknownSubscriber. Commits as it goes; run again after a crash.
    """
    subscriber = get_subscriber(address)
    subscriber_id = subscriber.id
    counts = erase_people([subscriber_id], now=now)
    audit.record("person erased", actor=actor, now=now, object=f"subscriber:{subscriber_id}")
    db.session.commit()
    scrub()
    return counts


def erase_people(subscriber_ids: Sequence[int], *, now: datetime) -> dict[str, int]:
    """Erase some hundreds of people; return how many rows went, by kind. Commits as it goes."""
    load_spool()  # what was fetched and is not in the tables yet would come back after the erasure
    addresses = set(
        db.session.scalars(sa.select(Subscriber.address_key).where(Subscriber.id.in_(subscriber_ids)))
    )
    db.session.rollback()
    counts = {
        "events": tracking_data.erase(subscriber_ids),
        "deliveries": sending_data.erase(subscriber_ids),
        "people": len(subscriber_ids),
    }
    forget_mails_to(addresses)
    subscriber_data.erase(subscriber_ids, keep_until=keep_proof_until(now))
    db.session.commit()
    return counts


def keep_proof_until(now: datetime) -> datetime:
    """Return the end of the third year after this one."""
    zone = settings().timezone
    return datetime(now.astimezone(zone).year + PROOF_YEARS + 1, 1, 1, tzinfo=zone).astimezone(UTC)


def scrub() -> None:
    """Leave no old bytes in SQLite's files; PostgreSQL's autovacuum does its own."""
    if not is_sqlite():
        return
    db.session.rollback()
    # Outside a transaction, where both pragmas work, and as a script: Python takes one step of any
    # other statement that gives no rows, and SQLite gives one page back at each step.
    with db.engine.connect().execution_options(begins="SELECT 1") as connection:
        free = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
        sqlite = cast("sqlite3.Connection", connection.connection.driver_connection)
        for _turn in range(0, free, FREED):
            sqlite.executescript(f"PRAGMA incremental_vacuum({FREED})")
        sqlite.executescript("PRAGMA wal_checkpoint(TRUNCATE)")
