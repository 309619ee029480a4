"""Preferences of a subscriber: lists, language and tracking.

Anyone who was forwarded a newsletter can open this page. So unsubscribing and refusing tracking take
effect at once; whatever extends the consent needs a link sent to the mailbox.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from newsletter.ledger import audit
from newsletter.subscribers.addresses import Address
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.consent.tracking import choose_tracking, states_allowing_tracking
from newsletter.subscribers.models import LinkPurpose, MailingList, Subscriber, SubscriptionStatus
from newsletter.subscribers.one_time_links import send_link, use_link
from newsletter.subscribers.self_service import unsubscribe
from newsletter.subscribers.signup.request import SignupForm
from newsletter.subscribers.signup.store import request_subscription


@dataclass(frozen=True, slots=True)
class PreferenceChoice:
    """The chosen preferences. None leaves that one unchanged."""

    lists: Sequence[MailingList]
    wants_tracking: bool | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class SaveResult:
    """The result of applying a choice."""

    #: Lists that wait for confirmation by mail.
    asked: list[MailingList]
    #: True when tracking or language waits for a one-time link.
    waits_for_link: bool


def apply_choice(
    subscriber: Subscriber, choice: PreferenceChoice, *, language: str, now: datetime, visit: Visit
) -> SaveResult:
    """Apply unsubscribes and a refusal of tracking at once; send links to confirm everything else."""
    wanted = {mailing_list.id for mailing_list in choice.lists}
    held = {item.list_id: item.status for item in subscriber.subscriptions}
    leaving = [
        list_id
        for list_id, status in held.items()
        if status is SubscriptionStatus.CONFIRMED and list_id not in wanted
    ]
    if leaving:
        unsubscribe.unsubscribe_from(subscriber, leaving, now=now, method="page", visit=visit)
    if choice.wants_tracking is False:
        choose_tracking(subscriber, granted=False, language=language, now=now, visit=visit)
    asked = [
        mailing_list
        for mailing_list in choice.lists
        if held.get(mailing_list.id) not in {SubscriptionStatus.CONFIRMED, SubscriptionStatus.PENDING}
    ]
    if asked:
        _request_lists(subscriber, asked, language=language, now=now, visit=visit)
    return SaveResult(asked, waits_for_link=_send_choice_link(subscriber, choice, now))


def confirm_choice(token: str, *, language: str, now: datetime, visit: Visit) -> Subscriber:
    """Apply the choice confirmed by a one-time link; raise FreshLinkExpired.

    ``language`` is that of the page which showed the consent text about tracking.
    """
    link, subscriber = use_link(token, LinkPurpose.CHOICE, now=now)
    if link.language is not None and link.language != subscriber.language:
        subscriber.language = link.language
        audit.record("language changed", actor="person", now=now, object=f"subscriber:{subscriber.id}")
    if link.allows_tracking:
        choose_tracking(subscriber, granted=True, language=language, now=now, visit=visit, method="mail")
    return subscriber


def _request_lists(
    subscriber: Subscriber, lists: list[MailingList], *, language: str, now: datetime, visit: Visit
) -> None:
    form = SignupForm(
        address=Address(subscriber.address, subscriber.address_key),
        list_ids=[mailing_list.id for mailing_list in lists],
        language=language,
        wants_tracking=False,
    )
    request_subscription(form, now=now, visit=visit, method="page")


def _send_choice_link(subscriber: Subscriber, choice: PreferenceChoice, now: datetime) -> bool:
    allows = choice.wants_tracking is True and subscriber.tracking not in states_allowing_tracking()
    language = choice.language if choice.language != subscriber.language else None
    if not allows and language is None:
        return False
    send_link(subscriber, LinkPurpose.CHOICE, now=now, language=language, allows_tracking=allows)
    return True
