"""Suppressions: addresses that no mail may be sent to, with the reason.

Kept as a keyed hash, so a suppression survives erasure without keeping the address. A suppression is
*permanent* when a new double opt-in does not lift it (RP-5).
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

#: Reasons that a new double opt-in of the person lifts; the others only staff can lift (RP-5).
LIFTED_BY_CONFIRMING = {
    SuppressionReason.BOUNCED,
    SuppressionReason.COMPLAINED,
    SuppressionReason.OBJECTED,
}


def suppress(address_key: str, reason: SuppressionReason, now: datetime) -> None:
    """Suppress an address. An earlier reason stays, unless it is weaker (one of LIFTED_BY_CONFIRMING)."""
    address_hash, key_id = hash_address(address_key), suppression_key_id()
    if store_suppression(address_hash, key_id, reason, now):
        told = {"reason": reason.value, "key": key_id}
        restore_journal.append_before_commit(
            JournalEntry(now, address_hash, restore_journal.SUPPRESSED, told=told)
        )


def store_suppression(address_hash: str, key_id: str, reason: SuppressionReason, at: datetime) -> bool:
    """Suppress by hash, without a journal entry; return whether anything changed."""
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
    """Return the suppression of an address, or None."""
    return db.session.get(Suppression, hash_address(address_key))


def is_former_address(address_key: str) -> bool:
    """Return whether the address is that of a person who has changed it, in a restored backup."""
    found = find_suppression(address_key)
    return found is not None and found.reason is SuppressionReason.MOVED


def lift_former_address(address_hash: str) -> bool:
    """Lift the suppression of a former address, now changed here too; return whether there was one."""
    return _delete_suppression(address_hash, Suppression.reason == SuppressionReason.MOVED)


def is_permanently_suppressed(address_key: str) -> bool:
    """Return whether not even a confirmation mail may be sent to an address."""
    address_hash = hash_address(address_key)
    return address_hash in find_permanently_suppressed([address_hash])


def find_permanently_suppressed(hashes: Sequence[str]) -> set[str]:
    """Return those hashes whose addresses not even a confirmation mail may be sent to."""
    rows = db.session.connection().execute(
        _permanent_statement(for_sqlite=is_sqlite()), {"hashes": bind_list(hashes)}
    )
    return set(rows.scalars())


@cache
def _permanent_statement(*, for_sqlite: bool) -> sa.Select[str]:
    table = table_of(Suppression)
    return sa.select(table.c.address_hash).where(
        in_list(table.c.address_hash, "hashes", for_sqlite=for_sqlite),
        table.c.reason.not_in(LIFTED_BY_CONFIRMING),
    )


def lift_after_confirmation(address_key: str, *, now: datetime) -> None:
    """Lift a suppression that is not permanent, after the person's double opt-in."""
    address_hash = hash_address(address_key)
    if _delete_suppression(address_hash, Suppression.reason.in_(LIFTED_BY_CONFIRMING)):
        restore_journal.append_after_commit(JournalEntry(now, address_hash, restore_journal.LIFTED))


def lift_any(address_key: str, *, now: datetime) -> bool:
    """Lift any suppression, as only staff may, along with objections; return whether there was one."""
    address_hash = hash_address(address_key)
    restore_journal.append_after_commit(
        JournalEntry(now, address_hash, restore_journal.LIFTED, told={"bans": True})
    )
    return _delete_suppression(address_hash)


def _delete_suppression(address_hash: str, *those: sa.ColumnElement[bool]) -> bool:
    statement = sa.delete(Suppression).where(Suppression.address_hash == address_hash, *those)
    return cast(sa.CursorResult[Any], db.session.execute(statement)).rowcount > 0
