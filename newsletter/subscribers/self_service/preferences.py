"""The own-details page: which lists, in which language, and whether opens and clicks may be measured.

Whoever was forwarded a newsletter holds this page too. So leaving and refusing work at once, and
what gives us more than we had waits for a link in the mailbox.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from newsletter.ledger import audit
from newsletter.subscribers.addresses import Address
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.consent.tracking import choose_tracking, measured_states
from newsletter.subscribers.models import LinkPurpose, MailingList, Subscriber, SubscriptionStatus
from newsletter.subscribers.one_time_links import send_link, use_link
from newsletter.subscribers.self_service import unsubscribe
from newsletter.subscribers.signup.request import SignupForm
from newsletter.subscribers.signup.store import request_subscription


@dataclass(frozen=True, slots=True)
class Choice:
    """What the person wants from now on. None leaves that choice as it is."""

    lists: Sequence[MailingList]
    wants_tracking: bool | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of a choice."""

    #: Lists that begin when their confirmation mail is answered.
    asked: list[MailingList]
    #: True when tracking or the language waits for a link in the mailbox.
    waits_for_link: bool


def save_choice(
    subscriber: Subscriber, choice: Choice, *, language: str, now: datetime, visit: Visit
) -> Saved:
    """Leave the lists not chosen and stop measuring at once; ask the mailbox for everything else."""
    wanted = {mailing_list.id for mailing_list in choice.lists}
    held = {item.list_id: item.status for item in subscriber.subscriptions}
    leaving = [
        list_id
        for list_id, status in held.items()
        if status is SubscriptionStatus.CONFIRMED and list_id not in wanted
    ]
    if leaving:
        unsubscribe.leave(subscriber, leaving, now=now, method="page", visit=visit)
    if choice.wants_tracking is False:
        choose_tracking(subscriber, granted=False, language=language, now=now, visit=visit)
    asked = [
        mailing_list
        for mailing_list in choice.lists
        if held.get(mailing_list.id) not in {SubscriptionStatus.CONFIRMED, SubscriptionStatus.PENDING}
    ]
    if asked:
        _ask(subscriber, asked, language=language, now=now, visit=visit)
    return Saved(asked, waits_for_link=_ask_for_more(subscriber, choice, now))


def confirm_choice(token: str, *, language: str, now: datetime, visit: Visit) -> Subscriber:
    """Do what a link of the own-details page asked for; raise FreshLinkExpired.

    ``language`` is that of the page on which the words about tracking were just shown.
    """
    link, subscriber = use_link(token, LinkPurpose.CHOICE, now=now)
    if link.language is not None and link.language != subscriber.language:
        subscriber.language = link.language
        audit.record("language changed", actor="person", now=now, object=f"subscriber:{subscriber.id}")
    if link.allows_tracking:
        choose_tracking(subscriber, granted=True, language=language, now=now, visit=visit, method="mail")
    return subscriber


def _ask(
    subscriber: Subscriber, lists: list[MailingList], *, language: str, now: datetime, visit: Visit
) -> None:
    form = SignupForm(
        address=Address(subscriber.address, subscriber.address_key),
        list_ids=[mailing_list.id for mailing_list in lists],
        language=language,
        wants_tracking=False,
    )
    request_subscription(form, now=now, visit=visit, method="page")


def _ask_for_more(subscriber: Subscriber, choice: Choice, now: datetime) -> bool:
    allows = choice.wants_tracking is True and subscriber.tracking not in measured_states()
    language = choice.language if choice.language != subscriber.language else None
    if not allows and language is None:
        return False
    send_link(subscriber, LinkPurpose.CHOICE, now=now, language=language, allows_tracking=allows)
    return True
