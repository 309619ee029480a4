"""One batch of an import: decides on its rows and stores them with a few statements."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from newsletter.db import db, insert_or_ignore
from newsletter.subscribers.models import (
    Consent,
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    Suppression,
)
from newsletter.subscribers.transfer.import_changes import BatchChanges, SubscriberState
from newsletter.subscribers.transfer.import_row import ImportEntry

#: The outcome of a row on one list, by the subscription status before.
OUTCOMES = {
    None: "added",
    SubscriptionStatus.PENDING: "confirmed",
    SubscriptionStatus.CONFIRMED: "already",
    SubscriptionStatus.UNSUBSCRIBED: "left",
}


def store_batch(
    entries: Sequence[ImportEntry], lists: Sequence[MailingList], *, import_id: int, now: datetime
) -> Counter[str]:
    """Confirm the subscriptions that these rows prove; return the counts of outcomes.

    Of two rows with one address the first counts. Does not commit.
    """
    suppressed = _suppressed_hashes(entries)
    allowed = [entry for entry in entries if entry.address_hash not in suppressed]
    gone = _lists_left_before_erasure(allowed, lists)
    everywhere = {item.id for item in lists}
    _insert_subscribers(
        [entry for entry in allowed if gone.get(entry.address_hash) != everywhere], lists, now
    )
    people = _lock_subscribers(allowed, lists, gone)
    changes = BatchChanges(import_id, now)
    counts = Counter(suppressed=len(entries) - len(allowed))
    for entry in allowed:
        counts.update(_decide(entry, people.get(entry.address.key), lists, changes))
    changes.write()
    return counts


def _suppressed_hashes(entries: Sequence[ImportEntry]) -> set[str]:
    hashes = [entry.address_hash for entry in entries]
    found = sa.select(Suppression.address_hash).where(Suppression.address_hash.in_(hashes))
    return set(db.session.scalars(found))


def _lists_left_before_erasure(
    entries: Sequence[ImportEntry], lists: Sequence[MailingList]
) -> dict[str, set[int]]:
    """Return the lists that erased or purged people had been on, by address hash, from their proofs."""
    proofs = sa.select(Consent.address_hash, Consent.list_id).where(
        Consent.address_hash.in_([entry.address_hash for entry in entries]),
        Consent.list_id.in_([item.id for item in lists]),
    )
    gone: dict[str, set[int]] = {}
    for address_hash, list_id in db.session.execute(proofs):
        if address_hash is not None and list_id is not None:
            gone.setdefault(address_hash, set()).add(list_id)
    return gone


def _insert_subscribers(entries: Sequence[ImportEntry], lists: Sequence[MailingList], now: datetime) -> None:
    # An ignored INSERT uses up an id all the same, so known people are left out.
    keys = [entry.address.key for entry in entries]
    known = set(db.session.scalars(sa.select(Subscriber.address_key).where(Subscriber.address_key.in_(keys))))
    rows = [
        {
            "address": entry.address.text,
            "address_key": entry.address.key,
            "address_hash": entry.address_hash,
            "language": entry.language or lists[0].language,
            "created_at": now,
        }
        # In a fixed order, so that two concurrent imports do not deadlock.
        for entry in sorted(entries, key=lambda entry: entry.address.key)
        if entry.address.key not in known
    ]
    insert_or_ignore(Subscriber, *rows)


def _lock_subscribers(
    entries: Sequence[ImportEntry], lists: Sequence[MailingList], gone: dict[str, set[int]]
) -> dict[str, SubscriberState]:
    """Return the subscribers of these rows by address key, locked, with their statuses on the lists."""
    theirs = sa.select(
        Subscriber.id,
        Subscriber.address_key,
        Subscriber.address_hash,
        Subscriber.restricted_at,
        Subscriber.tracking,
    ).where(Subscriber.address_key.in_([entry.address.key for entry in entries]))
    found = db.session.execute(theirs.order_by(Subscriber.id).with_for_update()).all()
    people = {
        row.id: SubscriberState(
            row.id,
            is_restricted=row.restricted_at is not None,
            tracking=row.tracking,
            held=dict.fromkeys(gone.get(row.address_hash, ()), SubscriptionStatus.UNSUBSCRIBED),
        )
        for row in found
    }
    held = sa.select(Subscription.subscriber_id, Subscription.list_id, Subscription.status).where(
        Subscription.subscriber_id.in_(people), Subscription.list_id.in_([item.id for item in lists])
    )
    for subscriber_id, list_id, status in db.session.execute(held):
        # A confirmed subscription supersedes an old proof; a pending one does not undo having unsubscribed.
        if status is not SubscriptionStatus.PENDING or list_id not in people[subscriber_id].held:
            people[subscriber_id].held[list_id] = status
    return {row.address_key: people[row.id] for row in found}


def _decide(
    entry: ImportEntry, person: SubscriberState | None, lists: Sequence[MailingList], changes: BatchChanges
) -> Counter[str]:
    if person is None:  # unsubscribed from all lists, and purged
        return Counter(left=len(lists))
    if person.is_restricted:
        return Counter(restricted=1)
    outcomes = [(item, OUTCOMES[person.held.get(item.id)]) for item in lists]
    joining = [item for item, outcome in outcomes if outcome in {"added", "confirmed"}]
    for item in joining:
        changes.confirm(entry, person, item)
    if joining:
        changes.choose_tracking(entry, person, joining[0].language)
    return Counter(outcome for _, outcome in outcomes)
