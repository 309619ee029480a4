"""Receipt of an unsubscribe, with a link that undoes it.

The holder of a forwarded newsletter can unsubscribe its recipient, so the mailbox is notified and can
undo it.
"""

from datetime import UTC, datetime, timedelta

from newsletter.errors import LinkExpired
from newsletter.mail import outbox
from newsletter.subscribers import links
from newsletter.subscribers.consent.evidence import Visit, record_consent
from newsletter.subscribers.consent.texts import current_wording
from newsletter.subscribers.models import (
    ConsentKind,
    MailingList,
    Purpose,
    Subscriber,
    Subscription,
    SubscriptionStatus,
)
from newsletter.subscribers.signup.request import mail_language
from newsletter.subscribers.suppressions import find_suppression

#: How long an unsubscribe can be undone: a page left open must not subscribe anyone next month.
UNDO_LIFETIME = timedelta(hours=24)
#: The shortest interval between two receipts for one list.
RECEIPT_INTERVAL = timedelta(hours=24)


def make_undo_token(subscriber: Subscriber, left_at: datetime) -> str:
    """Return the token that undoes the unsubscribe of this instant."""
    return links.UNDO.make(subscriber.id, int(left_at.timestamp()))


def read_undo_token(token: str, *, now: datetime) -> tuple[int, datetime]:
    """Return subscriber id and time of an unsubscribe; raise LinkInvalid, or LinkExpired when too late."""
    subscriber_id, second = links.UNDO.read(token)
    left_at = datetime.fromtimestamp(second, UTC)
    if now >= left_at + UNDO_LIFETIME:
        raise LinkExpired
    return subscriber_id, left_at


def lists_left_at(subscriber: Subscriber, left_at: datetime) -> list[MailingList]:
    """Return the lists that an undo would subscribe again."""
    return [subscription.mailing_list for subscription in _subscriptions_left_at(subscriber, left_at)]


def undo_unsubscribe(
    subscriber: Subscriber, left_at: datetime, *, language: str, now: datetime, visit: Visit
) -> list[MailingList]:
    """Undo the unsubscribe of this instant, with a new consent.

    Returns the lists that are subscribed again; doing it twice changes nothing. Raises LinkExpired when there
    is nothing to undo: a later unsubscribe stands, and so does a suppression.
    """
    ended = _subscriptions_left_at(subscriber, left_at)
    if find_suppression(subscriber.address_key) is not None:
        raise LinkExpired
    if not ended:
        return _lists_resumed_since(subscriber, left_at)
    wording = current_wording(Purpose.NEWSLETTER, language, now)
    for subscription in ended:
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
    return [subscription.mailing_list for subscription in ended]


def send_unsubscribe_receipt(subscriber: Subscriber, gone: list[Subscription], now: datetime) -> None:
    """Enqueue the receipt with the undo link, unless the person is suppressed or restricted."""
    due = [item for item in gone if item.receipt_at is None or item.receipt_at <= now - RECEIPT_INTERVAL]
    if not due or subscriber.restricted_at or find_suppression(subscriber.address_key) is not None:
        return
    for item in gone:
        item.receipt_at = now
    language = mail_language((item.mailing_list for item in gone), subscriber.language)
    outbox.enqueue(
        "left",
        to=subscriber.address,
        language=language,
        now=now,
        subscriber_id=subscriber.id,
        context={
            "lists": [item.mailing_list.name for item in gone],
            "undo_url": links.token_url("subscribers.undo", make_undo_token(subscriber, now), language),
            "left_at": now.isoformat(),
            "until_at": (now + UNDO_LIFETIME).isoformat(),
        },
    )


def _subscriptions_left_at(subscriber: Subscriber, left_at: datetime) -> list[Subscription]:
    """Return the subscriptions that ended within this second."""
    return [
        item
        for item in subscriber.subscriptions
        if item.status is SubscriptionStatus.UNSUBSCRIBED
        and item.confirmed_at is not None
        and item.unsubscribed_at is not None
        and left_at <= item.unsubscribed_at < left_at + timedelta(seconds=1)
    ]


def _lists_resumed_since(subscriber: Subscriber, left_at: datetime) -> list[MailingList]:
    """Return the lists confirmed since an unsubscribe that was undone; raise LinkExpired if none."""
    back = [
        item.mailing_list
        for item in subscriber.subscriptions
        if item.status is SubscriptionStatus.CONFIRMED and item.confirmed_at and item.confirmed_at >= left_at
    ]
    if not back:
        raise LinkExpired
    return back
