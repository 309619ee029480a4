"""Change of a subscriber's address, proved by a one-time link sent to the new address.

Requested by a link from the old mailbox or at the rights desk. Nothing changes before the new address has
confirmed; then the old address is notified. The response never reveals whether an address is known.
"""

from datetime import datetime

import sqlalchemy as sa
from blinker import Namespace
from sqlalchemy.exc import IntegrityError

from newsletter.db import db
from newsletter.durable import restore_journal
from newsletter.durable.restore_journal import JournalEntry
from newsletter.ledger import audit
from newsletter.mail import outbox
from newsletter.mail.models import OutboxMail
from newsletter.subscribers import links
from newsletter.subscribers.addresses import Address, hash_address, parse_address
from newsletter.subscribers.models import LinkPurpose, OneTimeLink, Signup, Subscriber, SubscriptionStatus
from newsletter.subscribers.one_time_links import (
    DELETE_AFTER,
    FreshLinkExpired,
    find_link,
    revoke_links,
    send_link_to_new_address,
    use_link,
)
from newsletter.subscribers.signup.confirm import delete_pending_signups
from newsletter.subscribers.signup.request import REMINDER_INTERVAL
from newsletter.subscribers.suppressions import find_suppression, lift_former_address

#: Signal, sent inside the transaction with ``subscriber``, ``old``, ``link_id`` and ``now``.
address_changed = Namespace().signal("address_changed")


def request_change(token: str, text: str, *, now: datetime) -> None:
    """Use the one-time link and send a confirmation link to the new address, if mail may go there.

    Raises FreshLinkExpired, or AddressInvalid with the link still unused. Returns the same for every valid
    address: free, suppressed, of another subscriber, or requested already today.
    """
    find_link(token, LinkPurpose.ADDRESS, now=now)
    address = parse_address(text)
    _link, subscriber = use_link(token, LinkPurpose.ADDRESS, now=now)
    same = address.text == subscriber.address
    if same or not has_ever_confirmed(subscriber) or find_suppression(address.key) is not None:
        return
    other = find_other_owner(subscriber, address)
    if other is not None:
        _notify_current_owner(other, now)
    elif not _was_requested_recently(address, now):
        send_link_to_new_address(subscriber, address, now=now)


def confirm_change(token: str, *, now: datetime) -> Subscriber:
    """Set the address to the one this link was sent to.

    Subscriptions and consents stay with the subscriber. Links sent to the old mailbox and its pending signups
    are deleted. Raises FreshLinkExpired also when the address was taken or suppressed meanwhile.
    """
    link, subscriber = use_link(token, LinkPurpose.NEW_ADDRESS, now=now)
    address = parse_address(link.new_address or "")
    old, old_hash = subscriber.address, subscriber.address_hash
    refused = not has_ever_confirmed(subscriber) or find_suppression(address.key) is not None
    if refused or not _assign_address(subscriber, address):
        raise FreshLinkExpired
    waiting = sa.select(Signup).where(Signup.subscriber_id == subscriber.id, Signup.confirmed_at.is_(None))
    delete_pending_signups(list(db.session.scalars(waiting)))
    revoke_links(subscriber)
    restore_journal.append_before_commit(
        JournalEntry(
            now, old_hash, restore_journal.MOVED, subscriber.id, subscriber.created_at,
            {"to": subscriber.address_hash},
        )
    )  # fmt: skip
    address_changed.send(subscriber=subscriber, old=old, link_id=link.id, now=now)
    audit.record("address changed", actor="person", now=now, object=f"subscriber:{subscriber.id}")
    if not lift_former_address(old_hash):  # else it was notified at the first change
        _notify_old_address(subscriber, old, now)
    return subscriber


def has_ever_confirmed(subscriber: Subscriber) -> bool:
    """Return whether any subscription was ever confirmed: a pending signup has nothing to move."""
    return any(item.confirmed_at is not None for item in subscriber.subscriptions)


def find_other_owner(subscriber: Subscriber, address: Address) -> Subscriber | None:
    """Return another subscriber who has that address, or None."""
    return db.session.scalar(
        sa.select(Subscriber).where(Subscriber.address_key == address.key, Subscriber.id != subscriber.id)
    )


def _assign_address(subscriber: Subscriber, address: Address) -> bool:
    """Set the address; False when another subscriber has it meanwhile (unique constraint)."""
    try:
        with db.session.begin_nested():
            subscriber.address, subscriber.address_key = address.text, address.key
            subscriber.address_hash = hash_address(address.key)
    except IntegrityError:
        return False
    return True


def _notify_old_address(subscriber: Subscriber, old: str, now: datetime) -> None:
    outbox.enqueue(
        "address_changed",
        to=old,
        language=subscriber.language,
        now=now,
        subscriber_id=subscriber.id,
        context={"changed_at": now.isoformat()},
    )


def _was_requested_recently(address: Address, now: datetime) -> bool:
    """Return whether this address was requested today: a stranger gets at most one mail a day."""
    asked = sa.select(OneTimeLink.id).where(
        sa.func.lower(OneTimeLink.new_address) == address.key, OneTimeLink.created_at > now - DELETE_AFTER
    )
    return db.session.scalar(asked.limit(1)) is not None


def _notify_current_owner(other: Subscriber, now: datetime) -> None:
    """Tell a confirmed subscriber with that address why no link came, at most once a day."""
    subscribed = any(item.status is SubscriptionStatus.CONFIRMED for item in other.subscriptions)
    told = sa.select(OutboxMail.id).where(
        OutboxMail.subscriber_id == other.id,
        OutboxMail.template == "address_taken",
        OutboxMail.created_at > now - REMINDER_INTERVAL,
    )
    if not subscribed or other.restricted_at or db.session.scalar(told.limit(1)) is not None:
        return
    preferences = links.PREFERENCES.make(other.id)
    outbox.enqueue(
        "address_taken",
        to=other.address,
        language=other.language,
        now=now,
        subscriber_id=other.id,
        context={
            "preferences_url": links.token_url("subscribers.preferences", preferences, other.language),
        },
    )
