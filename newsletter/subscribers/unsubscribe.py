"""Leaving works at once, needs no login and no reason, and never fails.

Other parts hear of it through the ``left`` signal, sent inside the transaction, so that a campaign
can count who left after it.
"""

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from blinker import Namespace

from newsletter.db import db
from newsletter.subscribers import links
from newsletter.subscribers.evidence import Visit, record_consent
from newsletter.subscribers.models import (
    ConsentKind,
    MailingList,
    Purpose,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    TrackingState,
)
from newsletter.subscribers.wordings import shown_wording

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
    itself unless its link comes back.
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
    if gone and campaign_id:
        left.send(campaign_id=campaign_id, subscriber_id=subscriber.id, now=now)
    return [subscription.mailing_list for subscription in gone]


def rejoin(
    subscriber: Subscriber,
    lists: Iterable[MailingList],
    *,
    language: str,
    now: datetime,
    visit: Visit,
) -> list[MailingList]:
    """Undo a leaving: a new consent, and the subscription goes on. Returns the lists joined now.

    Only lists that were confirmed once: the mailbox has proved itself for those.
    """
    wanted = {mailing_list.id for mailing_list in lists}
    wording = shown_wording(Purpose.NEWSLETTER, language, now)
    back = []
    for subscription in subscriber.subscriptions:
        ended = (
            subscription.status is SubscriptionStatus.UNSUBSCRIBED and subscription.confirmed_at is not None
        )
        if ended and subscription.list_id in wanted:
            subscription.status, subscription.unsubscribed_at = SubscriptionStatus.CONFIRMED, None
            subscription.confirmed_at = now
            record_consent(
                ConsentKind.CONFIRMED,
                subscriber,
                mailing_list=subscription.mailing_list,
                wording_id=wording.id,
                now=now,
                method="undo",
                visit=visit,
            )
            back.append(subscription.mailing_list)
    return back


def choose_tracking(
    subscriber: Subscriber, *, granted: bool, language: str, now: datetime, visit: Visit
) -> None:
    """Record what a person says about measuring; saying the same again changes nothing."""
    state = TrackingState.GRANTED if granted else TrackingState.REFUSED
    if subscriber.tracking is state:
        return
    subscriber.tracking, subscriber.tracking_chosen_at = state, now
    record_consent(
        ConsentKind.CONFIRMED if granted else ConsentKind.WITHDRAWN,
        subscriber,
        wording_id=shown_wording(Purpose.TRACKING, language, now).id if granted else None,
        now=now,
        method="page",
        visit=visit,
    )


def has_left_everything(subscriber_id: int) -> bool:
    """Tell whether nothing holds a person here any more."""
    living = sa.select(Subscription.id).where(
        Subscription.subscriber_id == subscriber_id,
        Subscription.status != SubscriptionStatus.UNSUBSCRIBED,
    )
    return db.session.scalar(living.limit(1)) is None
