"""Search of subscribers by the prefix of any word of their address.

``address_parts`` holds each address from every word on: ``virtanen`` finds anna.virtanen@…,
``kirjakauppa`` finds everybody at kirjakauppa.example. A job indexes new subscribers soon after they
signed up, so that a signup does not wait for it; a changed address is reindexed in its own transaction.
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

BATCH_SIZE = 1000
#: On PostgreSQL a lower id may be committed after a higher one, so this many ids are checked again.
RECHECKED_IDS = 5000
MAX_QUERY_LENGTH = 254
_WORD_PATTERN = re.compile(r"[^\W_]+")
_ADDRESS_PARTS = table_of(AddressPart)


def address_suffixes(key: str) -> list[str]:
    """Return the suffixes of an address that begin at one of its words, without duplicates."""
    return list(dict.fromkeys([key, *(key[word.start() :] for word in _WORD_PATTERN.finditer(key))]))


def index_new_subscribers() -> int:
    """Index new subscribers, and return how many. Commits after each batch."""
    known = db.session.scalar(sa.select(sa.func.max(AddressPart.subscriber_id))) or 0
    db.session.rollback()
    last, done = max(0, known - RECHECKED_IDS), 0
    while True:
        missing = (
            sa.select(Subscriber.id, Subscriber.address_key)
            .where(Subscriber.id > last, ~sa.exists().where(AddressPart.subscriber_id == Subscriber.id))
            .order_by(Subscriber.id)
            .limit(BATCH_SIZE)
        )
        people = db.session.execute(missing).all()
        if not people:
            db.session.rollback()
            return done
        db.session.execute(
            insert_or_ignore_statement(AddressPart),  # another worker may index them too
            [
                {"part": part, "subscriber_id": number}
                for number, key in people
                for part in address_suffixes(key)
            ],
        )
        db.session.commit()
        last, done = people[-1][0], done + len(people)


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A page of subscribers, and the key of the next page; None on the last one."""

    people: Sequence[Subscriber]
    next: str | None


def search_people(text: str, *, after: str = "", size: int = 50) -> SearchPage:
    """Return subscribers with a word that begins with ``text``, in the order of those words.

    One range scan of one index, however many match. ``after`` is the ``next`` of the page before.
    """
    key = normalize_query(text)
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
    people = {person.id: person for person in _load_subscribers([number for _part, number in shown])}
    return SearchPage(
        # A subscriber with several matching words is shown at the first of them.
        [
            people[number]
            for part, number in shown
            if number in people and _is_first_match(part, people[number], key)
        ],
        f"{shown[-1][0]} {shown[-1][1]}" if len(rows) > size else None,
    )


def browse_people(
    *,
    mailing_list: MailingList | None = None,
    status: SubscriptionStatus | None = None,
    after: int = 0,
    size: int = 50,
) -> SearchPage:
    """Return subscribers by id, after the id ``after``."""
    if mailing_list is not None and status is not None:  # one index has this order
        page = sa.select(Subscription.subscriber_id).where(
            Subscription.list_id == mailing_list.id,
            Subscription.status == status,
            Subscription.subscriber_id > after,
        )
        numbers = page.order_by(Subscription.subscriber_id)
    else:
        numbers = sa.select(Subscriber.id).where(Subscriber.id > after).order_by(Subscriber.id)
    found = list(db.session.scalars(numbers.limit(size + 1)))
    return SearchPage(_load_subscribers(found[:size]), str(found[size - 1]) if len(found) > size else None)


def _load_subscribers(numbers: Sequence[int]) -> Sequence[Subscriber]:
    return db.session.scalars(
        sa.select(Subscriber)
        .options(sa.orm.selectinload(Subscriber.subscriptions))
        .where(Subscriber.id.in_(numbers))
        .order_by(Subscriber.id)
    ).all()


def _is_first_match(part: str, person: Subscriber, key: str) -> bool:
    return part == min(word for word in address_suffixes(person.address_key) if word.startswith(key))


def normalize_query(text: str) -> str:
    """Return the search text in the form of address keys: casefolded, without white space and NUL."""
    return "".join(text.split()).casefold().replace("\x00", "")[:MAX_QUERY_LENGTH]


@event.listens_for(Subscriber, "after_update")
def _reindex(_mapper: Mapper[Any], connection: Connection, subscriber: Subscriber) -> None:
    if not sa.inspect(subscriber).attrs.address_key.history.has_changes():
        return
    connection.execute(sa.delete(_ADDRESS_PARTS).where(_ADDRESS_PARTS.c.subscriber_id == subscriber.id))
    rows = [
        {"part": part, "subscriber_id": subscriber.id} for part in address_suffixes(subscriber.address_key)
    ]
    connection.execute(sa.insert(_ADDRESS_PARTS), rows)
