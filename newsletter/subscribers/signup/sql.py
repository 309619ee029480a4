"""The rows of signups, read and written in plain SQL, many at a time.

Strangers can have them written by the thousand, and objects would cost several times as much. The
statements are made once, so that SQLAlchemy need not compare them with those it has compiled.
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
from newsletter.subscribers.suppressions import barred_among

_SUBSCRIBERS, _SUBSCRIPTIONS = table_of(Subscriber), table_of(Subscription)


@dataclass(frozen=True, slots=True)
class Known:
    """A person we have a row of."""

    id: int
    #: As it was first given.
    address: str


@dataclass(slots=True)
class Standing:
    """What an address is to us."""

    #: None for a stranger.
    person: Known | None
    is_barred: bool
    #: When the person was last told that there was nothing to do.
    told_at: datetime | None = None
    #: The lists that the person is on.
    held: set[int] = field(default_factory=set)

    def may_be_told(self, now: datetime, gap: timedelta) -> bool:
        """Tell whether the person may be told again."""
        is_due = self.told_at is None or self.told_at <= now - gap
        return self.person is not None and not self.is_barred and is_due


def look_up(addresses: Sequence[Address], *, reminder: str) -> dict[str, Standing]:
    """Return what each address is to us, by key; the people are locked until the transaction ends.

    So a confirmation at the same moment has either been seen or waits.
    """
    hashes = {address.key: hash_address(address.key) for address in addresses}
    barred = barred_among(list(hashes.values()))
    people = _find(list(hashes))
    standings = {
        key: Standing(people.get(key), address_hash in barred) for key, address_hash in hashes.items()
    }
    if people:
        ids = [person.id for person in people.values()]
        told, held = last_enqueued(reminder, ids), _held(ids)
        for key, person in people.items():
            standings[key].told_at = told.get(person.id)
            standings[key].held = held.get(person.id, set())
    return standings


def find_or_add(strangers: Sequence[tuple[Address, str, datetime]]) -> dict[str, Known]:
    """Return the people of addresses by key, each made where there is none; with language and moment.

    Two who do so at once agree on one row.
    """
    first: dict[str, tuple[Address, str, datetime]] = {}
    for stranger in strangers:
        first.setdefault(stranger[0].key, stranger)
    keys = sorted(first)  # in a fixed order, so that two never wait for each other
    db.session.connection().execute(
        insert_or_ignore_statement(Subscriber), [_row(*first[key]) for key in keys]
    )
    return _find(keys)


def add_signups(rows: Sequence[dict[str, Any]], list_ids: Sequence[Sequence[int]]) -> list[int]:
    """Insert requests and return their ids; their lists become pending unless they are something already."""
    connection = db.session.connection()
    made = {token: number for number, token in connection.execute(_add_signups(), list(rows))}
    ids = [made[row["token_hash"]] for row in rows]
    wanted = [
        (signup_id, row, list_id)
        for signup_id, row, these in zip(ids, rows, list_ids, strict=True)
        for list_id in these
    ]
    connection.execute(
        _insert(SignupList),
        [{"signup_id": signup_id, "list_id": list_id} for signup_id, _, list_id in wanted],
    )
    # One that has ended keeps its row until it is confirmed anew.
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


def add_consents(rows: Sequence[dict[str, Any]]) -> None:
    """Append facts to the ledger."""
    if rows:
        db.session.connection().execute(_insert(Consent), rows)


def _row(address: Address, language: str, now: datetime) -> dict[str, Any]:
    return {
        "address": address.text,
        "address_key": address.key,
        "address_hash": hash_address(address.key),
        "language": language,
        "created_at": now,
    }


def _find(keys: Sequence[str]) -> dict[str, Known]:
    found = db.session.connection().execute(_people(for_sqlite=is_sqlite()), {"keys": bind_list(keys)})
    return {key: Known(number, address) for number, address, key in found}


def _held(subscriber_ids: Sequence[int]) -> dict[int, set[int]]:
    held: dict[int, set[int]] = {}
    statement = _confirmed(for_sqlite=is_sqlite())
    for person, list_id in db.session.connection().execute(statement, {"ids": bind_list(subscriber_ids)}):
        held.setdefault(person, set()).add(list_id)
    return held


@cache
def _people(*, for_sqlite: bool) -> sa.Select[int, str, str]:
    those = in_list(_SUBSCRIBERS.c.address_key, "keys", for_sqlite=for_sqlite)
    found = sa.select(_SUBSCRIBERS.c.id, _SUBSCRIBERS.c.address, _SUBSCRIBERS.c.address_key).where(those)
    return found.order_by(_SUBSCRIBERS.c.id).with_for_update()


@cache
def _confirmed(*, for_sqlite: bool) -> sa.Select[int, int]:
    return sa.select(_SUBSCRIPTIONS.c.subscriber_id, _SUBSCRIPTIONS.c.list_id).where(
        in_list(_SUBSCRIPTIONS.c.subscriber_id, "ids", for_sqlite=for_sqlite),
        _SUBSCRIPTIONS.c.status == SubscriptionStatus.CONFIRMED,
    )


@cache
def _add_signups() -> sa.sql.dml.ReturningInsert[int, str]:
    table = table_of(Signup)
    return sa.insert(table).returning(table.c.id, table.c.token_hash)


@cache
def _insert(model: type[Base]) -> sa.Insert:
    return sa.insert(table_of(model))
