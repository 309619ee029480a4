"""SQL of signups: bulk reads and inserts with SQLAlchemy Core.

Anonymous clients can cause thousands of rows, for which ORM objects would cost several times as much. The
statements are built once and cached.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa

from newsletter.db import Base, bind_list, db, in_list, insert_or_ignore_statement, is_sqlite, table_of
from newsletter.mail.outbox import last_enqueued
from newsletter.subscribers.addresses import Address, hash_address
from newsletter.subscribers.models import (
    Consent,
    Signup,
    SignupList,
    Subscriber,
    Subscription,
    SubscriptionStatus,
)
from newsletter.subscribers.suppressions import find_permanently_suppressed

_SUBSCRIBERS, _SUBSCRIPTIONS = table_of(Subscriber), table_of(Subscription)


@dataclass(frozen=True, slots=True)
class SubscriberRef:
    """Id and address of a subscriber that has a row."""

    id: int
    #: As first given.
    address: str


@dataclass(slots=True)
class AddressState:
    """What is known about an address."""

    #: None for an unknown address.
    person: SubscriberRef | None
    is_permanently_suppressed: bool
    #: When the last "already subscribed" mail was enqueued.
    reminded_at: datetime | None = None
    #: Ids of the lists with a confirmed subscription.
    held: set[int] = field(default_factory=set)

    def is_reminder_due(self, now: datetime, gap: timedelta) -> bool:
        """Return whether another "already subscribed" mail may be sent."""
        is_due = self.reminded_at is None or self.reminded_at <= now - gap
        return self.person is not None and not self.is_permanently_suppressed and is_due


def load_address_states(addresses: Sequence[Address], *, reminder: str) -> dict[str, AddressState]:
    """Return the state of each address by key; their subscribers are locked until the transaction ends.

    So a concurrent confirmation is either visible or waits.
    """
    hashes = {address.key: hash_address(address.key) for address in addresses}
    barred = find_permanently_suppressed(list(hashes.values()))
    people = _select_by_key(list(hashes))
    standings = {
        key: AddressState(people.get(key), address_hash in barred) for key, address_hash in hashes.items()
    }
    if people:
        ids = [person.id for person in people.values()]
        told, held = last_enqueued(reminder, ids), _select_confirmed_lists(ids)
        for key, person in people.items():
            standings[key].reminded_at = told.get(person.id)
            standings[key].held = held.get(person.id, set())
    return standings


def get_or_create_subscribers(strangers: Sequence[tuple[Address, str, datetime]]) -> dict[str, SubscriberRef]:
    """Return the subscribers of (address, language, instant) by key, inserting missing ones.

    Concurrent callers get the same row.
    """
    first: dict[str, tuple[Address, str, datetime]] = {}
    for stranger in strangers:
        first.setdefault(stranger[0].key, stranger)
    keys = sorted(first)  # in a fixed order, against deadlocks
    db.session.connection().execute(
        insert_or_ignore_statement(Subscriber), [_subscriber_row(*first[key]) for key in keys]
    )
    return _select_by_key(keys)


def insert_signups(rows: Sequence[dict[str, Any]], list_ids: Sequence[Sequence[int]]) -> list[int]:
    """Insert signups and return their ids; subscriptions become pending unless they exist already."""
    connection = db.session.connection()
    made = {token: number for number, token in connection.execute(_insert_signups_statement(), list(rows))}
    ids = [made[row["token_hash"]] for row in rows]
    wanted = [
        (signup_id, row, list_id)
        for signup_id, row, these in zip(ids, rows, list_ids, strict=True)
        for list_id in these
    ]
    connection.execute(
        _insert_statement(SignupList),
        [{"signup_id": signup_id, "list_id": list_id} for signup_id, _, list_id in wanted],
    )
    # An unsubscribed one keeps its row until it is confirmed again.
    connection.execute(
        insert_or_ignore_statement(Subscription),
        [
            {
                "subscriber_id": row["subscriber_id"],
                "list_id": list_id,
                "status": SubscriptionStatus.PENDING,
                "created_at": row["created_at"],
            }
            for _, row, list_id in wanted
        ],
    )
    return ids


def insert_consents(rows: Sequence[dict[str, Any]]) -> None:
    """Append rows to the consent ledger."""
    if rows:
        db.session.connection().execute(_insert_statement(Consent), rows)


def _subscriber_row(address: Address, language: str, now: datetime) -> dict[str, Any]:
    return {
        "address": address.text,
        "address_key": address.key,
        "address_hash": hash_address(address.key),
        "language": language,
        "created_at": now,
    }


def _select_by_key(keys: Sequence[str]) -> dict[str, SubscriberRef]:
    found = db.session.connection().execute(
        _subscribers_statement(for_sqlite=is_sqlite()), {"keys": bind_list(keys)}
    )
    return {key: SubscriberRef(number, address) for number, address, key in found}


def _select_confirmed_lists(subscriber_ids: Sequence[int]) -> dict[int, set[int]]:
    held: dict[int, set[int]] = {}
    statement = _confirmed_lists_statement(for_sqlite=is_sqlite())
    for person, list_id in db.session.connection().execute(statement, {"ids": bind_list(subscriber_ids)}):
        held.setdefault(person, set()).add(list_id)
    return held


@cache
def _subscribers_statement(*, for_sqlite: bool) -> sa.Select[int, str, str]:
    those = in_list(_SUBSCRIBERS.c.address_key, "keys", for_sqlite=for_sqlite)
    found = sa.select(_SUBSCRIBERS.c.id, _SUBSCRIBERS.c.address, _SUBSCRIBERS.c.address_key).where(those)
    return found.order_by(_SUBSCRIBERS.c.id).with_for_update()


@cache
def _confirmed_lists_statement(*, for_sqlite: bool) -> sa.Select[int, int]:
    return sa.select(_SUBSCRIPTIONS.c.subscriber_id, _SUBSCRIPTIONS.c.list_id).where(
        in_list(_SUBSCRIPTIONS.c.subscriber_id, "ids", for_sqlite=for_sqlite),
        _SUBSCRIPTIONS.c.status == SubscriptionStatus.CONFIRMED,
    )


@cache
def _insert_signups_statement() -> sa.sql.dml.ReturningInsert[int, str]:
    table = table_of(Signup)
    return sa.insert(table).returning(table.c.id, table.c.token_hash)


@cache
def _insert_statement(model: type[Base]) -> sa.Insert:
    return sa.insert(table_of(model))
