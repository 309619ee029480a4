"""Suppression: an address we must not write to again, and why.

Kept as a keyed hash, so the list survives erasure without keeping the address.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast

import sqlalchemy as sa

from newsletter.db import bind_list, db, execute_dml, in_list, insert_or_ignore, is_sqlite, table_of
from newsletter.durable import restore_journal
from newsletter.durable.restore_journal import JournalEntry
from newsletter.subscribers.addresses import hash_address, suppression_key_id
from newsletter.subscribers.models import Suppression, SuppressionReason

#: What a fresh double opt-in of the person's own lifts; the rest only staff can lift (RP-5).
LIFTED_BY_CONFIRMING = {
    SuppressionReason.BOUNCED,
    SuppressionReason.COMPLAINED,
    SuppressionReason.OBJECTED,
}


def suppress(address_key: str, reason: SuppressionReason, now: datetime) -> None:
    """Never write to this address again. The first reason stays, unless confirming would lift that one."""
    address_hash, key_id = hash_address(address_key), suppression_key_id()
    if store_suppression(address_hash, key_id, reason, now):
        told = {"reason": reason.value, "key": key_id}
        restore_journal.append_before_commit(
            JournalEntry(now, address_hash, restore_journal.SUPPRESSED, told=told)
        )


def store_suppression(address_hash: str, key_id: str, reason: SuppressionReason, at: datetime) -> bool:
    """Do as ``suppress``, by the hash; tell whether anything changed. Notes nothing in the journal."""
    row = {"address_hash": address_hash, "key_id": key_id, "reason": reason, "created_at": at}
    if insert_or_ignore(Suppression, row):
        return True
    if reason in LIFTED_BY_CONFIRMING:
        return False
    weaker = sa.update(Suppression).where(
        Suppression.address_hash == address_hash, Suppression.reason.in_(LIFTED_BY_CONFIRMING)
    )
    return execute_dml(weaker.values(key_id=key_id, reason=reason, created_at=at)) > 0


def find_suppression(address_key: str) -> Suppression | None:
    """Return why an address must not be written to, if it must not."""
    return db.session.get(Suppression, hash_address(address_key))


def is_left_behind(address_key: str) -> bool:
    """Tell whether a restored copy still has this address of somebody who has changed it."""
    found = find_suppression(address_key)
    return found is not None and found.reason is SuppressionReason.MOVED


def leave_behind_no_more(address_hash: str) -> bool:
    """End the block of an address that its owner has now changed here too; tell whether there was one."""
    return _delete(address_hash, Suppression.reason == SuppressionReason.MOVED)


def is_barred(address_key: str) -> bool:
    """Tell whether not even a confirmation mail may go to an address."""
    address_hash = hash_address(address_key)
    return address_hash in barred_among([address_hash])


def barred_among(hashes: Sequence[str]) -> set[str]:
    """Return those of the hashes whose addresses not even a confirmation mail may go to."""
    rows = db.session.connection().execute(_barred(for_sqlite=is_sqlite()), {"hashes": bind_list(hashes)})
    return set(rows.scalars())


@cache
def _barred(*, for_sqlite: bool) -> sa.Select[str]:
    table = table_of(Suppression)
    return sa.select(table.c.address_hash).where(
        in_list(table.c.address_hash, "hashes", for_sqlite=for_sqlite),
        table.c.reason.not_in(LIFTED_BY_CONFIRMING),
    )


def lift_by_confirming(address_key: str, *, now: datetime) -> None:
    """Let a person's own double opt-in end an ordinary suppression."""
    address_hash = hash_address(address_key)
    if _delete(address_hash, Suppression.reason.in_(LIFTED_BY_CONFIRMING)):
        restore_journal.append_after_commit(JournalEntry(now, address_hash, restore_journal.LIFTED))


def lift(address_key: str, *, now: datetime) -> bool:
    """End any suppression, as only staff may, who end the objections with it; tell whether there was one."""
    address_hash = hash_address(address_key)
    restore_journal.append_after_commit(
        JournalEntry(now, address_hash, restore_journal.LIFTED, told={"bans": True})
    )
    return _delete(address_hash)


def _delete(address_hash: str, *those: sa.ColumnElement[bool]) -> bool:
    statement = sa.delete(Suppression).where(Suppression.address_hash == address_hash, *those)
    return cast(sa.CursorResult[Any], db.session.execute(statement)).rowcount > 0
