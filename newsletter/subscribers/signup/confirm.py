"""What happens when the link comes back: the subscription begins, or the request is taken back."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import sqlalchemy as sa

from newsletter.db import db, execute_dml
from newsletter.errors import LinkExpired
from newsletter.ledger import audit
from newsletter.mail import outbox
from newsletter.subscribers import links, personal_data
from newsletter.subscribers.consent.evidence import Visit, record_consent
from newsletter.subscribers.consent.tracking import choose_tracking
from newsletter.subscribers.models import (
    ConsentKind,
    FunnelStep,
    MailingList,
    Signup,
    SignupList,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    SuppressionReason,
    TrackingState,
)
from newsletter.subscribers.signup import funnel, mail_quota
from newsletter.subscribers.signup.confirmation_flags import remarks_on
from newsletter.subscribers.signup.request import LINK_LASTS, ListMissing, links_of_subscriber, mail_language
from newsletter.subscribers.suppressions import lift_by_confirming, suppress
from newsletter.web.signed_tokens import hash_secret


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a confirmation link led to."""

    subscriber: Subscriber
    lists: list[MailingList]
    #: True when the link had been used before, and nothing changed now.
    already: bool


def find_request(token: str, *, now: datetime, lock: bool = False) -> Signup:
    """Return the signup a confirmation link points at.

    Raises LinkInvalid for a link that is not ours, LinkExpired for one whose time is over or whose
    request has been taken back.
    """
    secret, issued = links.CONFIRM.read(token)
    statement = sa.select(Signup).where(Signup.token_hash == hash_secret(secret))
    if lock:
        statement = statement.with_for_update()
    signup = db.session.scalar(statement)
    overdue = now >= datetime.fromtimestamp(issued, UTC) + LINK_LASTS
    if signup is None or (overdue and signup.confirmed_at is None):
        raise LinkExpired
    return signup


def confirm(
    token: str, *, now: datetime, visit: Visit, method: str = "button", chosen: Collection[str] | None = None
) -> Confirmation:
    """Confirm the subscriptions a signup asked for, and put the activation mail in the outbox.

    ``chosen`` has the slugs of the lists to confirm where the person left some out; those end here.
    A second visit changes nothing: the first consent is the one that counts, and someone who has
    left since stays away. Raises ListMissing when ``chosen`` has none of the lists.
    """
    signup = find_request(token, now=now, lock=True)
    subscriber = db.session.scalars(
        sa.select(Subscriber).where(Subscriber.id == signup.subscriber_id).with_for_update()
    ).one()
    if signup.confirmed_at is not None:
        return confirmed_before(signup)
    lists = [item for item in signup.lists if chosen is None or item.slug in chosen]
    if not lists:
        raise ListMissing
    visit = replace(visit, remarks=remarks_on(subscriber, now=now, visit=visit))
    _begin(signup, subscriber, lists, now=now, method=method, visit=visit)
    _drop_unasked({subscriber.id})
    lift_by_confirming(subscriber.address_key, now=now)
    mail_quota.give_back(subscriber.address_hash, [mailing_list.id for mailing_list in lists])
    subscriber.language = mail_language(lists, signup.language)
    _welcome(subscriber, lists, now)
    if signup.form_host is not None:
        funnel.record(
            FunnelStep.CONFIRMED,
            [mailing_list.id for mailing_list in lists],
            language=signup.language,
            form_host=signup.form_host,
            now=now,
        )
    return Confirmation(subscriber, lists, already=False)


def confirmed_before(signup: Signup) -> Confirmation:
    """Return what a link that has been used led to; raise LinkExpired for someone who has left since."""
    subscriber = db.session.get_one(Subscriber, signup.subscriber_id)
    held = {
        subscription.list_id
        for subscription in subscriber.subscriptions
        if subscription.status is SubscriptionStatus.CONFIRMED
    }
    lists = [mailing_list for mailing_list in signup.lists if mailing_list.id in held]
    if not lists:
        raise LinkExpired
    return Confirmation(subscriber, lists, already=True)


def find_cancellable(token: str) -> tuple[Signup | None, int]:
    """Return the request a cancel link points at, None when it is gone, and whose it was."""
    signup_id, subscriber_id = links.CANCEL.read(token)
    signup = db.session.get(Signup, signup_id, with_for_update=True)
    return (signup if signup and signup.subscriber_id == subscriber_id else None), subscriber_id


def cancel(signup: Signup) -> None:
    """Take back a request that has not been confirmed: its rows go at once."""
    withdraw_requests([signup])


def may_disown(signup: Signup) -> bool:
    """Tell whether the address may be blocked: one that has subscriptions keeps getting its mail."""
    return not db.session.scalar(
        sa.select(
            sa.exists().where(
                Subscription.subscriber_id == signup.subscriber_id,
                Subscription.status == SubscriptionStatus.CONFIRMED,
            )
        )
    )


def disown(signup: Signup, *, now: datetime) -> None:
    """Erase every open request for an address whose owner made none, and let nobody ask for it again.

    Only staff can lift that. Where ``may_disown`` says no, the one request is taken back.
    """
    if not may_disown(signup):
        cancel(signup)
        return
    subscriber = db.session.get_one(Subscriber, signup.subscriber_id)
    suppress(subscriber.address_key, SuppressionReason.NOT_REQUESTED, now)
    open_requests = sa.select(Signup).where(
        Signup.subscriber_id == subscriber.id, Signup.confirmed_at.is_(None)
    )
    withdraw_requests(list(db.session.scalars(open_requests)))
    audit.record("requests for an address blocked", actor="person", now=now)


def withdraw_requests(signups: list[Signup]) -> int:
    """Erase unconfirmed requests, and each person nothing else is known of; return how many persons."""
    people = {signup.subscriber_id for signup in signups}
    db.session.execute(sa.delete(Signup).where(Signup.id.in_([signup.id for signup in signups])))
    _drop_unasked(people)
    strangers = db.session.scalars(
        sa.select(Subscriber.id).where(
            Subscriber.id.in_(people),
            ~sa.exists().where(Subscription.subscriber_id == Subscriber.id),
        )
    ).all()
    personal_data.erase(strangers, keep_until=None)
    return len(strangers)


def expire_requests(now: datetime, *, batch: int = 500) -> int:
    """Erase the requests whose link ran out and return how many. Commits after each batch."""
    expired = 0
    overdue = sa.select(Signup).where(Signup.expires_at <= now, Signup.confirmed_at.is_(None)).limit(batch)
    while signups := list(db.session.scalars(overdue.with_for_update(skip_locked=True))):
        withdraw_requests(signups)
        db.session.commit()
        db.session.expunge_all()
        expired += len(signups)
    db.session.rollback()
    return expired


def _drop_unasked(people: Collection[int]) -> None:
    """Delete the pending subscriptions that no open request asks for any more."""
    still_asked = (
        sa.select(SignupList.list_id)
        .join(Signup, Signup.id == SignupList.signup_id)
        .where(
            Signup.subscriber_id == Subscription.subscriber_id,
            Signup.confirmed_at.is_(None),
            SignupList.list_id == Subscription.list_id,
        )
    )
    execute_dml(
        sa.delete(Subscription).where(
            Subscription.subscriber_id.in_(people),
            Subscription.status == SubscriptionStatus.PENDING,
            ~still_asked.exists(),
        )
    )


def _begin(
    signup: Signup,
    subscriber: Subscriber,
    lists: list[MailingList],
    *,
    now: datetime,
    method: str,
    visit: Visit,
) -> None:
    """Begin each subscription, and measuring where that was asked for, with the proof of each."""
    prove = partial(record_consent, ConsentKind.CONFIRMED, subscriber, now=now, method=method, visit=visit)
    for mailing_list in lists:
        _activate(subscriber, mailing_list, now)
        prove(mailing_list=mailing_list, wording_id=signup.wording_id)
    if signup.tracking_wording_id is not None:
        subscriber.tracking, subscriber.tracking_chosen_at = TrackingState.GRANTED, now
        prove(wording_id=signup.tracking_wording_id)
    if signup.refuses_tracking:
        choose_tracking(
            subscriber, granted=False, language=signup.language, now=now, visit=visit, method="form"
        )
    signup.confirmed_at, signup.lists = now, lists
    db.session.flush()


def _activate(subscriber: Subscriber, mailing_list: MailingList, now: datetime) -> None:
    subscription = db.session.scalar(
        sa.select(Subscription).where(
            Subscription.subscriber_id == subscriber.id, Subscription.list_id == mailing_list.id
        )
    )
    if subscription is None:  # another request for this list was cancelled meanwhile
        subscription = Subscription(subscriber_id=subscriber.id, list_id=mailing_list.id, created_at=now)
        db.session.add(subscription)
    if subscription.status is not SubscriptionStatus.CONFIRMED:
        subscription.status, subscription.confirmed_at = SubscriptionStatus.CONFIRMED, now
        subscription.unsubscribed_at = None


def _welcome(subscriber: Subscriber, lists: list[MailingList], now: datetime) -> None:
    outbox.enqueue(
        "activated",
        to=subscriber.address,
        language=subscriber.language,
        now=now,
        subscriber_id=subscriber.id,
        context=links_of_subscriber(subscriber, lists, subscriber.language),
    )
