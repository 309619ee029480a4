"""Finding people by the beginning of any word of their address, over a million of them.

Each address stands in ``address_parts`` once from every word on: ``virtanen`` finds
anna.virtanen@…, ``kirjakauppa`` finds everybody at kirjakauppa.example. A job adds new people soon
after they came, so that a signup does not wait for it; an address that changes is changed here too.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapper

from newsletter.db import db, insert_or_ignore_statement, table_of
from newsletter.subscribers.models import (
    AddressPart,
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionStatus,
)

BATCH = 1000
#: On PostgreSQL a lower id may be committed after a higher one: those just behind are looked at again.
LOOK_BACK = 5000
LONGEST = 254
_WORD = re.compile(r"[^\W_]+")
_PARTS = table_of(AddressPart)


def parts_of(key: str) -> list[str]:
    """Return an address from each of its words on."""
    return list(dict.fromkeys([key, *(key[word.start() :] for word in _WORD.finditer(key))]))


def index_new() -> int:
    """Make new people findable, and return how many. Commits after each batch."""
    known = db.session.scalar(sa.select(sa.func.max(AddressPart.subscriber_id))) or 0
    db.session.rollback()
    last, done = max(0, known - LOOK_BACK), 0
    while True:
        missing = (
            sa.select(Subscriber.id, Subscriber.address_key)
            .where(Subscriber.id > last, ~sa.exists().where(AddressPart.subscriber_id == Subscriber.id))
            .order_by(Subscriber.id)
            .limit(BATCH)
        )
        people = db.session.execute(missing).all()
        if not people:
            db.session.rollback()
            return done
        db.session.execute(
            insert_or_ignore_statement(AddressPart),  # another worker may be at it too
            [{"part": part, "subscriber_id": number} for number, key in people for part in parts_of(key)],
        )
        db.session.commit()
        last, done = people[-1][0], done + len(people)


@dataclass(frozen=True, slots=True)
class Found:
    """A page of people, and where the next page begins; None where there is none."""

    people: Sequence[Subscriber]
    next: str | None


def search_people(text: str, *, after: str = "", size: int = 50) -> Found:
    """Return people with a word that begins with ``text``, in the order of those words.

    One range of one index however many match. ``after`` is the ``next`` of the page before.
    """
    key = cleaned(text)
    part, _space, number = after.rpartition(" ")
    statement = (
        sa.select(AddressPart.part, AddressPart.subscriber_id)
        .where(AddressPart.part >= key, AddressPart.part < key + "\U0010ffff")
        .order_by(AddressPart.part, AddressPart.subscriber_id)
        .limit(size + 1)
    )
    if part and number.isdigit():
        beyond = sa.tuple_(AddressPart.part, AddressPart.subscriber_id) > (part, int(number))
        statement = statement.where(beyond)
    rows = db.session.execute(statement).all()
    shown = rows[:size]
    people = {person.id: person for person in _people([number for _part, number in shown])}
    return Found(
        # Somebody with two such words is shown at the first of them.
        [
            people[number]
            for part, number in shown
            if number in people and _is_first(part, people[number], key)
        ],
        f"{shown[-1][0]} {shown[-1][1]}" if len(rows) > size else None,
    )


def browse_people(
    *,
    mailing_list: MailingList | None = None,
    status: SubscriptionStatus | None = None,
    after: int = 0,
    size: int = 50,
) -> Found:
    """Return people, oldest first, beyond a person's number."""
    if mailing_list is not None and status is not None:  # exactly what one index is sorted by
        page = sa.select(Subscription.subscriber_id).where(
            Subscription.list_id == mailing_list.id,
            Subscription.status == status,
            Subscription.subscriber_id > after,
        )
        numbers = page.order_by(Subscription.subscriber_id)
    else:
        numbers = sa.select(Subscriber.id).where(Subscriber.id > after).order_by(Subscriber.id)
    found = list(db.session.scalars(numbers.limit(size + 1)))
    return Found(_people(found[:size]), str(found[size - 1]) if len(found) > size else None)


def _people(numbers: Sequence[int]) -> Sequence[Subscriber]:
    return db.session.scalars(
        sa.select(Subscriber)
        .options(sa.orm.selectinload(Subscriber.subscriptions))
        .where(Subscriber.id.in_(numbers))
        .order_by(Subscriber.id)
    ).all()


def _is_first(part: str, person: Subscriber, key: str) -> bool:
    return part == min(word for word in parts_of(person.address_key) if word.startswith(key))


def cleaned(text: str) -> str:
    """Return what to look for: as addresses are compared, without what no address has."""
    return "".join(text.split()).casefold().replace("\x00", "")[:LONGEST]


@event.listens_for(Subscriber, "after_update")
def _reindex(_mapper: Mapper[Any], connection: Connection, subscriber: Subscriber) -> None:
    if not sa.inspect(subscriber).attrs.address_key.history.has_changes():
        return
    connection.execute(sa.delete(_PARTS).where(_PARTS.c.subscriber_id == subscriber.id))
    rows = [{"part": part, "subscriber_id": subscriber.id} for part in parts_of(subscriber.address_key)]
    connection.execute(sa.insert(_PARTS), rows)
