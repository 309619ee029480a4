"""The own-details page: which lists, and whether opens and clicks may be measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from newsletter.subscribers import unsubscribe
from newsletter.subscribers.addresses import Address
from newsletter.subscribers.evidence import Visit
from newsletter.subscribers.models import MailingList, Subscriber, SubscriptionStatus
from newsletter.subscribers.signup import SignupForm, request_subscription


@dataclass(frozen=True, slots=True)
class Choice:
    """What the person wants from now on. ``wants_tracking`` None leaves that choice as it is."""

    lists: Sequence[MailingList]
    wants_tracking: bool | None


def save_choice(
    subscriber: Subscriber, choice: Choice, *, language: str, now: datetime, visit: Visit
) -> list[MailingList]:
    """Leave the lists not chosen and ask for the new ones; return those a mail was asked for.

    A new list begins only when its confirmation link comes back: whoever was forwarded a
    newsletter holds this page too.
    """
    wanted = {mailing_list.id for mailing_list in choice.lists}
    held = {item.list_id: item.status for item in subscriber.subscriptions}
    leaving = [
        list_id
        for list_id, status in held.items()
        if status is SubscriptionStatus.CONFIRMED and list_id not in wanted
    ]
    if leaving:
        unsubscribe.leave(subscriber, leaving, now=now, method="page", visit=visit)
    if choice.wants_tracking is not None:
        unsubscribe.choose_tracking(
            subscriber, granted=choice.wants_tracking, language=language, now=now, visit=visit
        )
    asking = [
        mailing_list
        for mailing_list in choice.lists
        if held.get(mailing_list.id) not in {SubscriptionStatus.CONFIRMED, SubscriptionStatus.PENDING}
    ]
    if asking:
        form = SignupForm(
            address=Address(subscriber.address, subscriber.address_key),
            lists=asking,
            language=language,
            wants_tracking=False,
        )
        request_subscription(form, now=now, visit=visit, method="page")
    return asking
