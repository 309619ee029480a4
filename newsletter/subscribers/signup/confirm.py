"""Confirmation, cancellation and expiry of signups (double opt-in)."""

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
from newsletter.subscribers.signup.confirmation_flags import flag_confirmation
from newsletter.subscribers.signup.request import (
    LINK_LIFETIME,
    ListMissing,
    mail_language,
    subscriber_mail_context,
)
from newsletter.subscribers.suppressions import lift_after_confirmation, suppress
from newsletter.web.signed_tokens import hash_secret


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The result of a confirmation link."""

    subscriber: Subscriber
    lists: list[MailingList]
    #: True when the signup had been confirmed before, and nothing changed now.
    already: bool


def find_signup(token: str, *, now: datetime, lock: bool = False) -> Signup:
    """Return the signup of a confirmation link, locked with ``lock``.

    Raises LinkInvalid for a link that is not signed by us, LinkExpired for one past its lifetime or whose
    signup has been deleted.
    """
    secret, issued = links.CONFIRM.read(token)
    statement = sa.select(Signup).where(Signup.token_hash == hash_secret(secret))
    if lock:
        statement = statement.with_for_update()
    signup = db.session.scalar(statement)
    overdue = now >= datetime.fromtimestamp(issued, UTC) + LINK_LIFETIME
    if signup is None or (overdue and signup.confirmed_at is None):
        raise LinkExpired
    return signup


def confirm(
    token: str, *, now: datetime, visit: Visit, method: str = "button", chosen: Collection[str] | None = None
) -> Confirmation:
    """Confirm the subscriptions a signup asked for and enqueue the activation mail.

    ``chosen`` has the slugs of the lists to confirm when the person deselected some; the others end here.
    Confirming twice changes nothing: the first consent is the one that counts, and who has unsubscribed since
    stays unsubscribed. Raises ListMissing when ``chosen`` has none of the lists.
    """
    signup = find_signup(token, now=now, lock=True)
    subscriber = db.session.scalars(
        sa.select(Subscriber).where(Subscriber.id == signup.subscriber_id).with_for_update()
    ).one()
    if signup.confirmed_at is not None:
        return get_earlier_confirmation(signup)
    lists = [item for item in signup.lists if chosen is None or item.slug in chosen]
    if not lists:
        raise ListMissing
    visit = replace(visit, remarks=flag_confirmation(subscriber, now=now, visit=visit))
    _confirm_subscriptions(signup, subscriber, lists, now=now, method=method, visit=visit)
    _delete_unrequested_subscriptions({subscriber.id})
    lift_after_confirmation(subscriber.address_key, now=now)
    mail_quota.release(subscriber.address_hash, [mailing_list.id for mailing_list in lists])
    subscriber.language = mail_language(lists, signup.language)
    _enqueue_activation_mail(subscriber, lists, now)
    if signup.form_host is not None:
        funnel.record_step(
            FunnelStep.CONFIRMED,
            [mailing_list.id for mailing_list in lists],
            language=signup.language,
            form_host=signup.form_host,
            now=now,
        )
    return Confirmation(subscriber, lists, already=False)


def get_earlier_confirmation(signup: Signup) -> Confirmation:
    """Return the confirmation of a used link; raise LinkExpired when no list is subscribed any more."""
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


def find_signup_to_cancel(token: str) -> tuple[Signup | None, int]:
    """Return the signup of a cancel link, None when it is gone, and its subscriber's id."""
    signup_id, subscriber_id = links.CANCEL.read(token)
    signup = db.session.get(Signup, signup_id, with_for_update=True)
    return (signup if signup and signup.subscriber_id == subscriber_id else None), subscriber_id


def cancel(signup: Signup) -> None:
    """Delete a signup that has not been confirmed."""
    delete_pending_signups([signup])


def may_suppress_unrequested(signup: Signup) -> bool:
    """Return whether the address may be suppressed: not while it has a confirmed subscription."""
    return not db.session.scalar(
        sa.select(
            sa.exists().where(
                Subscription.subscriber_id == signup.subscriber_id,
                Subscription.status == SubscriptionStatus.CONFIRMED,
            )
        )
    )


def suppress_unrequested(signup: Signup, *, now: datetime) -> None:
    """Delete all pending signups of an address whose owner made none, and suppress it as not requested.

    Only staff can lift that suppression. Where ``may_suppress_unrequested`` is False, only this signup is
    deleted.
    """
    if not may_suppress_unrequested(signup):
        cancel(signup)
        return
    subscriber = db.session.get_one(Subscriber, signup.subscriber_id)
    suppress(subscriber.address_key, SuppressionReason.NOT_REQUESTED, now)
    open_requests = sa.select(Signup).where(
        Signup.subscriber_id == subscriber.id, Signup.confirmed_at.is_(None)
    )
    delete_pending_signups(list(db.session.scalars(open_requests)))
    audit.record("requests for an address blocked", actor="person", now=now)


def delete_pending_signups(signups: list[Signup]) -> int:
    """Delete unconfirmed signups, and erase subscribers with no other record.

    Returns how many subscribers were erased.
    """
    people = {signup.subscriber_id for signup in signups}
    db.session.execute(sa.delete(Signup).where(Signup.id.in_([signup.id for signup in signups])))
    _delete_unrequested_subscriptions(people)
    strangers = db.session.scalars(
        sa.select(Subscriber.id).where(
            Subscriber.id.in_(people),
            ~sa.exists().where(Subscription.subscriber_id == Subscriber.id),
        )
    ).all()
    personal_data.erase(strangers, keep_until=None)
    return len(strangers)


def delete_expired_signups(now: datetime, *, batch: int = 500) -> int:
    """Delete unconfirmed signups past their expiry; return how many. Commits after each batch."""
    expired = 0
    overdue = sa.select(Signup).where(Signup.expires_at <= now, Signup.confirmed_at.is_(None)).limit(batch)
    while signups := list(db.session.scalars(overdue.with_for_update(skip_locked=True))):
        delete_pending_signups(signups)
        db.session.commit()
        db.session.expunge_all()
        expired += len(signups)
    db.session.rollback()
    return expired


def _delete_unrequested_subscriptions(people: Collection[int]) -> None:
    """Delete pending subscriptions that no pending signup asks for."""
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


def _confirm_subscriptions(
    signup: Signup,
    subscriber: Subscriber,
    lists: list[MailingList],
    *,
    now: datetime,
    method: str,
    visit: Visit,
) -> None:
    """Confirm each subscription, and tracking where it was asked for, with a consent record for each."""
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
    if subscription is None:  # another signup for this list was cancelled meanwhile
        subscription = Subscription(subscriber_id=subscriber.id, list_id=mailing_list.id, created_at=now)
        db.session.add(subscription)
    if subscription.status is not SubscriptionStatus.CONFIRMED:
        subscription.status, subscription.confirmed_at = SubscriptionStatus.CONFIRMED, now
        subscription.unsubscribed_at = None


def _enqueue_activation_mail(subscriber: Subscriber, lists: list[MailingList], now: datetime) -> None:
    outbox.enqueue(
        "activated",
        to=subscriber.address,
        language=subscriber.language,
        now=now,
        subscriber_id=subscriber.id,
        context=subscriber_mail_context(subscriber, lists, subscriber.language),
    )
