"""The receipt of leaving, and the way back.

A newsletter that was forwarded lets its new holder leave in the recipient's name: so the mailbox is
told, with a link that takes it back.
"""

from datetime import UTC, datetime, timedelta

from newsletter.errors import LinkExpired
from newsletter.mail import outbox
from newsletter.subscribers import links
from newsletter.subscribers.consent.evidence import Visit, record_consent
from newsletter.subscribers.consent.texts import shown_wording
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

#: A leaving can be taken back this long: a page left open must not subscribe anyone next month.
UNDO_LASTS = timedelta(hours=24)
#: A receipt for a list at most this often.
RECEIPT_AFTER = timedelta(hours=24)


def make_undo(subscriber: Subscriber, left_at: datetime) -> str:
    """Return the token that takes back what was left at this moment."""
    return links.UNDO.make(subscriber.id, int(left_at.timestamp()))


def read_undo(token: str, *, now: datetime) -> tuple[int, datetime]:
    """Return whose leaving it was and when; raise LinkInvalid, or LinkExpired after UNDO_LASTS."""
    subscriber_id, second = links.UNDO.read(token)
    left_at = datetime.fromtimestamp(second, UTC)
    if now >= left_at + UNDO_LASTS:
        raise LinkExpired
    return subscriber_id, left_at


def lists_left_at(subscriber: Subscriber, left_at: datetime) -> list[MailingList]:
    """Return the lists that an undo would bring back."""
    return [subscription.mailing_list for subscription in _left_at(subscriber, left_at)]


def rejoin(
    subscriber: Subscriber, left_at: datetime, *, language: str, now: datetime, visit: Visit
) -> list[MailingList]:
    """Undo the leaving of this moment: a new consent, and the subscriptions go on.

    Returns the lists the person is on again; pressing twice changes nothing. Raises LinkExpired
    when nothing is left to undo: another leaving since then stands, and so does a suppression.
    """
    ended = _left_at(subscriber, left_at)
    if find_suppression(subscriber.address_key) is not None:
        raise LinkExpired
    if not ended:
        return _still_back(subscriber, left_at)
    wording = shown_wording(Purpose.NEWSLETTER, language, now)
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


def send_receipt(subscriber: Subscriber, gone: list[Subscription], now: datetime) -> None:
    """Tell the mailbox what was left, with the way back; not to someone we must not write to."""
    due = [item for item in gone if item.receipt_at is None or item.receipt_at <= now - RECEIPT_AFTER]
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
            "undo_url": links.address_of("subscribers.undo", make_undo(subscriber, now), language),
            "left_at": now.isoformat(),
            "until_at": (now + UNDO_LASTS).isoformat(),
        },
    )


def _left_at(subscriber: Subscriber, left_at: datetime) -> list[Subscription]:
    """Return what was left within this second."""
    return [
        item
        for item in subscriber.subscriptions
        if item.status is SubscriptionStatus.UNSUBSCRIBED
        and item.confirmed_at is not None
        and item.unsubscribed_at is not None
        and left_at <= item.unsubscribed_at < left_at + timedelta(seconds=1)
    ]


def _still_back(subscriber: Subscriber, left_at: datetime) -> list[MailingList]:
    """Return the lists confirmed since a leaving that has been undone; raise LinkExpired without any."""
    back = [
        item.mailing_list
        for item in subscriber.subscriptions
        if item.status is SubscriptionStatus.CONFIRMED and item.confirmed_at and item.confirmed_at >= left_at
    ]
    if not back:
        raise LinkExpired
    return back
