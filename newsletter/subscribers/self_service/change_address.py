"""A change of address: asked for from the old mailbox or at the rights desk, proved from the new one.

The old one is told.

Nothing changes before the new address has answered, and nobody learns from the answer whether an
address is known here.
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
from newsletter.subscribers.models import FreshLink, LinkPurpose, Signup, Subscriber, SubscriptionStatus
from newsletter.subscribers.one_time_links import (
    FORGET_AFTER,
    FreshLinkExpired,
    find_link,
    send_link_to_new_address,
    use_link,
    withdraw_links,
)
from newsletter.subscribers.signup.confirm import withdraw_requests
from newsletter.subscribers.signup.request import REMIND_AFTER
from newsletter.subscribers.suppressions import find_suppression, leave_behind_no_more

#: Sent with ``subscriber``, ``old``, ``link_id`` and ``now``, inside the transaction.
address_changed = Namespace().signal("address_changed")


def request_change(token: str, text: str, *, now: datetime) -> None:
    """Use up the link and write to the new address, if it may be written to.

    Raises FreshLinkExpired, or AddressInvalid with the link unused. Returns the same for every valid
    address: free, suppressed, someone else's, or asked for already today.
    """
    find_link(token, LinkPurpose.ADDRESS, now=now)
    address = parse_address(text)
    _link, subscriber = use_link(token, LinkPurpose.ADDRESS, now=now)
    same = address.text == subscriber.address
    if same or not has_begun(subscriber) or find_suppression(address.key) is not None:
        return
    other = find_other(subscriber, address)
    if other is not None:
        _tell_other(other, now)
    elif not _asked_lately(address, now):
        send_link_to_new_address(subscriber, address, now=now)


def confirm_change(token: str, *, now: datetime) -> Subscriber:
    """Change the address to the one that this link was sent to.

    Subscriptions and consents stay with the person. Links on their way to the old mailbox, and
    requests waiting there, end. Raises FreshLinkExpired also when the address has been taken or
    suppressed meanwhile.
    """
    link, subscriber = use_link(token, LinkPurpose.NEW_ADDRESS, now=now)
    address = parse_address(link.new_address or "")
    old, old_hash = subscriber.address, subscriber.address_hash
    refused = not has_begun(subscriber) or find_suppression(address.key) is not None
    if refused or not _take(subscriber, address):
        raise FreshLinkExpired
    waiting = sa.select(Signup).where(Signup.subscriber_id == subscriber.id, Signup.confirmed_at.is_(None))
    withdraw_requests(list(db.session.scalars(waiting)))
    withdraw_links(subscriber)
    restore_journal.append_before_commit(
        JournalEntry(
            now, old_hash, restore_journal.MOVED, subscriber.id, subscriber.created_at,
            {"to": subscriber.address_hash},
        )
    )  # fmt: skip
    address_changed.send(subscriber=subscriber, old=old, link_id=link.id, now=now)
    audit.record("address changed", actor="person", now=now, object=f"subscriber:{subscriber.id}")
    if not leave_behind_no_more(old_hash):  # else the old one was told when they changed it first
        _tell_old(subscriber, old, now)
    return subscriber


def has_begun(subscriber: Subscriber) -> bool:
    """Tell whether any subscription was ever confirmed: a mere request has nothing to take along."""
    return any(item.confirmed_at is not None for item in subscriber.subscriptions)


def find_other(subscriber: Subscriber, address: Address) -> Subscriber | None:
    """Return somebody else who has that address."""
    return db.session.scalar(
        sa.select(Subscriber).where(Subscriber.address_key == address.key, Subscriber.id != subscriber.id)
    )


def _take(subscriber: Subscriber, address: Address) -> bool:
    """Give a person the address; False when somebody signed up with it meanwhile."""
    try:
        with db.session.begin_nested():
            subscriber.address, subscriber.address_key = address.text, address.key
            subscriber.address_hash = hash_address(address.key)
    except IntegrityError:
        return False
    return True


def _tell_old(subscriber: Subscriber, old: str, now: datetime) -> None:
    outbox.enqueue(
        "address_changed",
        to=old,
        language=subscriber.language,
        now=now,
        subscriber_id=subscriber.id,
        context={"changed_at": now.isoformat()},
    )


def _asked_lately(address: Address, now: datetime) -> bool:
    """Tell whether somebody asked for this address today: one mail to a stranger is enough."""
    asked = sa.select(FreshLink.id).where(
        sa.func.lower(FreshLink.new_address) == address.key, FreshLink.created_at > now - FORGET_AFTER
    )
    return db.session.scalar(asked.limit(1)) is not None


def _tell_other(other: Subscriber, now: datetime) -> None:
    """Tell someone who subscribes under that address why no link came, once a day; others hear nothing."""
    subscribed = any(item.status is SubscriptionStatus.CONFIRMED for item in other.subscriptions)
    told = sa.select(OutboxMail.id).where(
        OutboxMail.subscriber_id == other.id,
        OutboxMail.template == "address_taken",
        OutboxMail.created_at > now - REMIND_AFTER,
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
            "preferences_url": links.address_of("subscribers.preferences", preferences, other.language),
        },
    )
