"""A signup's rows, read and written in plain SQL.

Strangers can have them written by the thousand, and objects would cost several times as much. The
statements are made once, so that SQLAlchemy need not compare them with those it has compiled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from newsletter.db import Base, db, insert_ignoring, table_of
from newsletter.subscribers.addresses import Address, hash_address
from newsletter.subscribers.models import (
    Consent,
    Signup,
    SignupList,
    Subscriber,
    Subscription,
    SubscriptionStatus,
)

_SUBSCRIBERS, _SUBSCRIPTIONS = table_of(Subscriber), table_of(Subscription)

# Locked, so that a confirmation at the same moment has either been seen or waits.
_FIND = (
    sa.select(_SUBSCRIBERS.c.id, _SUBSCRIBERS.c.address)
    .where(_SUBSCRIBERS.c.address_key == sa.bindparam("key"))
    .with_for_update()
)
_CONFIRMED = sa.select(_SUBSCRIPTIONS.c.list_id).where(
    _SUBSCRIPTIONS.c.subscriber_id == sa.bindparam("subscriber_id"),
    _SUBSCRIPTIONS.c.status == SubscriptionStatus.CONFIRMED,
)


@dataclass(frozen=True, slots=True)
class Known:
    """A person we have a row of."""

    id: int
    #: As it was first given.
    address: str


def find(address: Address) -> Known | None:
    """Return the person of an address, locked until the transaction ends."""
    row = db.session.connection().execute(_FIND, {"key": address.key}).first()
    return Known(*row) if row else None


def find_or_add(address: Address, language: str, now: datetime) -> Known:
    """Return the person of an address; two requests at once agree on one row."""
    row = {
        "address": address.text,
        "address_key": address.key,
        "address_hash": hash_address(address.key),
        "language": language,
        "created_at": now,
    }
    db.session.connection().execute(insert_ignoring(Subscriber), row)
    found = find(address)
    assert found is not None  # noqa: S101 - inserted or met a line above
    return found


def confirmed_lists(person: Known | None) -> set[int]:
    """Return the lists that a person is on; a stranger is on none."""
    rows = db.session.connection().execute(_CONFIRMED, {"subscriber_id": person.id if person else 0})
    return set(rows.scalars())


def add_signup(list_ids: Sequence[int], **columns: Any) -> int:  # noqa: ANN401 - the columns of Signup
    """Insert a request and return its id; its lists become pending unless they are something already."""
    connection = db.session.connection()
    made = connection.execute(_insert(Signup), columns).inserted_primary_key
    assert made is not None  # noqa: S101 - one row has one key
    connection.execute(
        _insert(SignupList), [{"signup_id": made[0], "list_id": list_id} for list_id in list_ids]
    )
    pending = {
        "subscriber_id": columns["subscriber_id"],
        "status": SubscriptionStatus.PENDING,
        "created_at": columns["created_at"],
    }
    # One that has ended keeps its row until it is confirmed anew.
    connection.execute(
        insert_ignoring(Subscription), [pending | {"list_id": list_id} for list_id in list_ids]
    )
    return int(made[0])


def add_consents(rows: Sequence[dict[str, Any]]) -> None:
    """Append facts to the ledger."""
    db.session.connection().execute(_insert(Consent), rows)


@cache
def _insert(model: type[Base]) -> sa.Insert:
    return sa.insert(table_of(model))
