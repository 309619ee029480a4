"""A request is worth nothing until its link comes back.

Whatever the address is to us (new, pending, subscribed, suppressed), the caller learns nothing:
``request_subscription`` returns nothing, and only the mailbox's owner sees what happened.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa
from limits import parse_many

from newsletter.config import settings
from newsletter.db import db, insert_or_ignore
from newsletter.errors import N_, NewsletterError
from newsletter.mail import outbox
from newsletter.mail.models import OutboxMail
from newsletter.subscribers import links
from newsletter.subscribers.addresses import Address, hash_address
from newsletter.subscribers.evidence import Visit, record_consent
from newsletter.subscribers.models import (
    ConsentKind,
    MailingList,
    Purpose,
    Signup,
    SignupList,
    Subscriber,
    Subscription,
    SubscriptionStatus,
)
from newsletter.subscribers.suppressions import LIFTED_BY_CONFIRMING, find_suppression
from newsletter.subscribers.wordings import shown_wording
from newsletter.tokens import hash_secret

LINK_LASTS = timedelta(days=7)
#: "You are already a subscriber" at most this often.
REMIND_AFTER = timedelta(hours=24)


class ConsentMissing(NewsletterError):
    """The box was not ticked; nothing is stored."""

    message = N_("Tick the box I want to subscribe to the newsletter.")


class ListMissing(NewsletterError):
    """No list was chosen."""

    message = N_("Choose at least one newsletter.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignupForm:
    """What the visitor filled in, checked."""

    address: Address
    lists: Sequence[MailingList]
    language: str
    wants_tracking: bool
    #: The cookie given to the browser, as a hash; None where there is no browser.
    browser_hash: str | None = None


def request_subscription(form: SignupForm, *, now: datetime, visit: Visit, method: str = "form") -> None:
    """Record the request and put the confirmation mail in the outbox.

    Existing subscriptions are never changed; a list is asked for again only within
    SIGNUP_LIMIT_ADDRESS.
    """
    suppression = find_suppression(form.address.key)
    if suppression is not None and suppression.reason not in LIFTED_BY_CONFIRMING:
        return
    subscriber = _find_or_add(form.address, form.language, now)
    held = {
        subscription.list_id
        for subscription in subscriber.subscriptions
        if subscription.status is SubscriptionStatus.CONFIRMED
    }
    wanted = [mailing_list for mailing_list in form.lists if mailing_list.id not in held]
    if not wanted:
        _remind(subscriber, form, now)
        return
    allowed = [mailing_list for mailing_list in wanted if not _asked_too_often(subscriber, mailing_list, now)]
    if allowed:
        _ask(subscriber, allowed, form, now=now, visit=visit, method=method)


def mail_language(lists: Iterable[MailingList], fallback: str) -> str:
    """Return the language of a mail about these lists: theirs if they share one."""
    languages = {mailing_list.language for mailing_list in lists}
    return languages.pop() if len(languages) == 1 else fallback


def _find_or_add(address: Address, language: str, now: datetime) -> Subscriber:
    row = {
        "address": address.text,
        "address_key": address.key,
        "address_hash": hash_address(address.key),
        "language": language,
        "created_at": now,
    }
    insert_or_ignore(Subscriber, row)
    # Locked, so that two signups at once see each other's requests.
    return db.session.scalars(
        sa.select(Subscriber).where(Subscriber.address_key == address.key).with_for_update()
    ).one()


def _asked_too_often(subscriber: Subscriber, mailing_list: MailingList, now: datetime) -> bool:
    asked = (
        sa.select(sa.func.count())
        .select_from(Signup)
        .join(SignupList, SignupList.signup_id == Signup.id)
        .where(
            Signup.subscriber_id == subscriber.id,
            SignupList.list_id == mailing_list.id,
            Signup.confirmed_at.is_(None),
        )
    )
    return any(
        (db.session.scalar(asked.where(Signup.created_at > now - timedelta(seconds=limit.get_expiry()))) or 0)
        >= limit.amount
        for limit in parse_many(settings().signup_limit_address)
    )


def _ask(
    subscriber: Subscriber,
    lists: list[MailingList],
    form: SignupForm,
    *,
    now: datetime,
    visit: Visit,
    method: str,
) -> None:
    secret = secrets.token_bytes(16)
    wording = shown_wording(Purpose.NEWSLETTER, form.language, now)
    tracking = shown_wording(Purpose.TRACKING, form.language, now) if form.wants_tracking else None
    signup = Signup(
        subscriber_id=subscriber.id,
        token_hash=hash_secret(secret),
        language=form.language,
        wording_id=wording.id,
        tracking_wording_id=tracking.id if tracking else None,
        browser_hash=form.browser_hash,
        created_at=now,
        expires_at=now + LINK_LASTS,
        lists=lists,
    )
    db.session.add(signup)
    db.session.flush()
    pending = [
        {
            "subscriber_id": subscriber.id,
            "list_id": mailing_list.id,
            "status": SubscriptionStatus.PENDING,
            "created_at": now,
        }
        for mailing_list in lists
    ]
    insert_or_ignore(Subscription, *pending)  # one that has ended keeps its row until it is confirmed anew
    mail = _enqueue_confirmation(signup, subscriber, secret, now)
    ask = partial(
        record_consent,
        ConsentKind.ASKED,
        subscriber,
        now=now,
        visit=visit,
        method=method,
        mail_id=mail.message_id,
    )
    for mailing_list in lists:
        ask(mailing_list=mailing_list, wording_id=wording.id)
    if tracking is not None:
        ask(wording_id=tracking.id)


def _enqueue_confirmation(signup: Signup, subscriber: Subscriber, secret: bytes, now: datetime) -> OutboxMail:
    language = mail_language(signup.lists, signup.language)
    token = links.CONFIRM.make(secret, int(now.timestamp()))
    return outbox.enqueue(
        "confirm",
        to=subscriber.address,
        language=language,
        now=now,
        subscriber_id=subscriber.id,
        context={
            "lists": [mailing_list.name for mailing_list in signup.lists],
            "confirm_url": links.address_of("subscribers.confirm", token, language),
            "cancel_url": links.address_of(
                "subscribers.cancel", links.CANCEL.make(signup.id, subscriber.id), language
            ),
            "preferences_url": links.address_of(
                "subscribers.preferences", links.PREFERENCES.make(subscriber.id), language
            ),
            "requested_at": now.isoformat(),
            "expires_at": signup.expires_at.isoformat(),
        },
    )


def _remind(subscriber: Subscriber, form: SignupForm, now: datetime) -> None:
    """Tell someone who subscribes again that there is nothing to do; once a day is enough."""
    recent = sa.select(OutboxMail.id).where(
        OutboxMail.subscriber_id == subscriber.id,
        OutboxMail.template == "already_subscribed",
        OutboxMail.created_at > now - REMIND_AFTER,
    )
    if db.session.scalar(recent.limit(1)) is not None:
        return
    language = mail_language(form.lists, form.language)
    outbox.enqueue(
        "already_subscribed",
        to=subscriber.address,
        language=language,
        now=now,
        subscriber_id=subscriber.id,
        context=links_of_subscriber(subscriber, form.lists, language),
    )


def links_of_subscriber(
    subscriber: Subscriber, lists: Sequence[MailingList], language: str
) -> dict[str, object]:
    """Return what every mail to a subscriber shows: the lists, the way out, the own details."""
    only = lists[0].id if len(lists) == 1 else 0
    return {
        "lists": [mailing_list.name for mailing_list in lists],
        "unsubscribe_url": links.address_of(
            "subscribers.unsubscribe_page", links.UNSUBSCRIBE.make(subscriber.id, only, 0), language
        ),
        "preferences_url": links.address_of(
            "subscribers.preferences", links.PREFERENCES.make(subscriber.id), language
        ),
    }
