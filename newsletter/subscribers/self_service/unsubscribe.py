"""Leaving works at once, needs no login and no reason, and never fails.

Other parts hear of it through the ``left`` signal, sent inside the transaction, so that a campaign
can count who left after it.
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
from newsletter.subscribers.self_service.undo import send_receipt

#: Whoever holds a newsletter can leave in these ways, so its recipient hears of it.
WITH_RECEIPT = {"page", "one-click", "mail"}

#: The lists of a campaign, by the name of a table on a rung above.
_campaign_lists = sa.table("campaign_lists", sa.column("campaign_id"), sa.column("list_id"))

#: Sent with ``campaign_id``, ``subscriber_id`` and ``now`` when a newsletter's own link was used.
left = Namespace().signal("left")


def read_link(token: str) -> tuple[int, int, int]:
    """Return the subscriber, list and campaign of a link; raise LinkInvalid if it is not ours."""
    subscriber_id, list_id, campaign_id = links.UNSUBSCRIBE.read(token)
    return subscriber_id, list_id, campaign_id


def find_subscriber(subscriber_id: int, *, lock: bool = False) -> Subscriber | None:
    """Return the person, or None once they have been purged or erased."""
    return db.session.get(Subscriber, subscriber_id, with_for_update=lock or None)


def confirmed_lists(subscriber: Subscriber) -> list[MailingList]:
    """Return the lists a person is on."""
    return [
        subscription.mailing_list
        for subscription in subscriber.subscriptions
        if subscription.status is SubscriptionStatus.CONFIRMED
    ]


def lists_of_link(subscriber: Subscriber, list_id: int, campaign_id: int) -> list[MailingList]:
    """Return the lists to leave so that what this link stood in no longer comes.

    A newsletter that went to several lists goes on coming while the person is on any of them.
    """
    went_to = sa.select(_campaign_lists.c.list_id).where(_campaign_lists.c.campaign_id == campaign_id)
    meant = {list_id, *(db.session.scalars(went_to) if campaign_id else ())}
    return [mailing_list for mailing_list in confirmed_lists(subscriber) if mailing_list.id in meant]


def leave(
    subscriber: Subscriber,
    list_ids: Iterable[int] | None,
    *,
    now: datetime,
    method: str,
    visit: Visit,
    campaign_id: int = 0,
) -> list[MailingList]:
    """End the subscriptions to these lists, or to all when None, and return the lists left now.

    Leaving twice changes nothing. A request still pending for a list is left alone: it ends by
    itself unless its link comes back. A receipt goes to the mailbox where anyone who was forwarded
    a newsletter could have done it.
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
        _note(subscriber, restore_journal.LEFT, now, {"list": subscription.list_id, "method": method})
    if gone and campaign_id:
        left.send(campaign_id=campaign_id, subscriber_id=subscriber.id, now=now)
    if method in WITH_RECEIPT:
        send_receipt(subscriber, gone, now)
    return [subscription.mailing_list for subscription in gone]


def _note(subscriber: Subscriber, act: str, now: datetime, told: dict[str, Any]) -> None:
    """Write a wish down where a restored backup cannot undo it."""
    line = JournalEntry(now, subscriber.address_hash, act, subscriber.id, subscriber.created_at, told)
    restore_journal.append_before_commit(line)


def has_left_everything(subscriber_id: int) -> bool:
    """Tell whether nothing holds a person here any more."""
    living = sa.select(Subscription.id).where(
        Subscription.subscriber_id == subscriber_id,
        Subscription.status != SubscriptionStatus.UNSUBSCRIBED,
    )
    return db.session.scalar(living.limit(1)) is None
