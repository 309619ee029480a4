"""Unsubscribing takes effect at once, needs no login or reason, and never fails (GDPR Art. 7(3)).

The signal ``campaign_unsubscribed``, sent inside the transaction, lets other packages count unsubscribes
by campaign.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from blinker import Namespace

from newsletter.db import db
from newsletter.durable import restore_journal
from newsletter.durable.restore_journal import JournalEntry
from newsletter.subscribers import links
from newsletter.subscribers.consent.evidence import Visit, record_consent
from newsletter.subscribers.models import (
    ConsentKind,
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionStatus,
)
from newsletter.subscribers.self_service.undo import send_unsubscribe_receipt

#: Methods open to anyone who holds a forwarded newsletter, so the mailbox gets a receipt.
RECEIPT_METHODS = {"page", "one-click", "mail"}

#: The lists of a campaign; the table belongs to a package above.
_campaign_lists = sa.table("campaign_lists", sa.column("campaign_id"), sa.column("list_id"))

#: Signal, sent with ``campaign_id``, ``subscriber_id`` and ``now`` when the link of a campaign was used.
campaign_unsubscribed = Namespace().signal("left")


def read_unsubscribe_token(token: str) -> tuple[int, int, int]:
    """Return subscriber id, list id and campaign id of a token; raise LinkInvalid."""
    subscriber_id, list_id, campaign_id = links.UNSUBSCRIBE.read(token)
    return subscriber_id, list_id, campaign_id


def find_subscriber(subscriber_id: int, *, lock: bool = False) -> Subscriber | None:
    """Return the subscriber, or None after a purge or erasure."""
    return db.session.get(Subscriber, subscriber_id, with_for_update=lock or None)


def confirmed_lists(subscriber: Subscriber) -> list[MailingList]:
    """Return the lists a subscriber is confirmed on."""
    return [
        subscription.mailing_list
        for subscription in subscriber.subscriptions
        if subscription.status is SubscriptionStatus.CONFIRMED
    ]


def lists_of_token(subscriber: Subscriber, list_id: int, campaign_id: int) -> list[MailingList]:
    """Return the lists to unsubscribe from so that the newsletter of this link no longer comes.

    A newsletter sent to several lists keeps coming while the subscriber is on any of them.
    """
    went_to = sa.select(_campaign_lists.c.list_id).where(_campaign_lists.c.campaign_id == campaign_id)
    meant = {list_id, *(db.session.scalars(went_to) if campaign_id else ())}
    return [mailing_list for mailing_list in confirmed_lists(subscriber) if mailing_list.id in meant]


def unsubscribe_from(
    subscriber: Subscriber,
    list_ids: Iterable[int] | None,
    *,
    now: datetime,
    method: str,
    visit: Visit,
    campaign_id: int = 0,
) -> list[MailingList]:
    """End the subscriptions to these lists, or to all when None; return the lists ended now.

    Unsubscribing twice changes nothing. A pending subscription is left alone: it expires unless it is
    confirmed. A receipt is sent for the RECEIPT_METHODS.
    """
    chosen = None if list_ids is None else set(list_ids)
    gone = [
        subscription
        for subscription in subscriber.subscriptions
        if subscription.status is SubscriptionStatus.CONFIRMED
        and (chosen is None or subscription.list_id in chosen)
    ]
    for subscription in gone:
        subscription.status, subscription.unsubscribed_at = SubscriptionStatus.UNSUBSCRIBED, now
        record_consent(
            ConsentKind.WITHDRAWN,
            subscriber,
            mailing_list=subscription.mailing_list,
            now=now,
            method=method,
            visit=visit,
        )
        _append_to_journal(
            subscriber, restore_journal.LEFT, now, {"list": subscription.list_id, "method": method}
        )
    if gone and campaign_id:
        campaign_unsubscribed.send(campaign_id=campaign_id, subscriber_id=subscriber.id, now=now)
    if method in RECEIPT_METHODS:
        send_unsubscribe_receipt(subscriber, gone, now)
    return [subscription.mailing_list for subscription in gone]


def _append_to_journal(subscriber: Subscriber, act: str, now: datetime, told: dict[str, Any]) -> None:
    """Append an act to the restore journal, so that a restored backup cannot undo it."""
    line = JournalEntry(now, subscriber.address_hash, act, subscriber.id, subscriber.created_at, told)
    restore_journal.append_before_commit(line)


def has_no_subscriptions(subscriber_id: int) -> bool:
    """Return whether a subscriber has no pending or confirmed subscription."""
    living = sa.select(Subscription.id).where(
        Subscription.subscriber_id == subscriber_id,
        Subscription.status != SubscriptionStatus.UNSUBSCRIBED,
    )
    return db.session.scalar(living.limit(1)) is None
