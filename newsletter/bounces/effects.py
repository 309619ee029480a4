"""What a report changes: the delivery, the campaign's figures, and whether we go on writing there.

A mailbox that is full, a filter, a late or automatic mail never cost anybody their subscription.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from newsletter.audit import AuditEntry
from newsletter.bounces.models import CAME_BACK, Kind
from newsletter.bounces.personal_data import forget
from newsletter.bounces.reading import Reading
from newsletter.bounces.streak import has_bounced_too_often
from newsletter.campaigns.models import CampaignTotals
from newsletter.db import db
from newsletter.mail.models import MailStatus, OutboxMail
from newsletter.mail.return_path import OUTBOX, Sent
from newsletter.sending.claim import count
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.subscribers.confirm import withdraw_requests
from newsletter.subscribers.evidence import Visit
from newsletter.subscribers.models import (
    Signup,
    Subscriber,
    SuppressionReason,
)
from newsletter.subscribers.suppressions import suppress
from newsletter.subscribers.unsubscribe import leave, lists_of_link

#: A report comes from a mail server, which stands for nobody's browser.
NOWHERE = Visit(ip="")
#: Single mails that went to the subscriber's own address, and not to one they wanted to change to.
_TO_SUBSCRIBER = {"confirm", "activated", "already_subscribed", "left", "fresh_link"}
#: How a mail that came back looks among those that a server refused at once.
_REFUSED, _FOR_NOW = 550, 450
#: A complaint comes also about a mail that came back from one of several mailboxes behind an address.
_ACCEPTED_BEFORE = {DeliveryStatus.ACCEPTED, DeliveryStatus.BOUNCED}
_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class About:
    """The mail that a report is about, locked. A single mail to staff has no subscriber."""

    sent: Sent
    subscriber_id: int | None
    delivery: Delivery | None = None
    mail: OutboxMail | None = None


def find_about(sent: Sent) -> About | None:
    """Return the mail that was sent; None when it is no longer here."""
    if sent.campaign_id == OUTBOX:
        mail = db.session.get(OutboxMail, sent.number, with_for_update=True, populate_existing=True)
        return About(sent, mail.subscriber_id, mail=mail) if mail else None
    # The campaign's totals first, as everybody locks them: so that no two wait for each other.
    totals = sa.select(CampaignTotals.campaign_id).where(CampaignTotals.campaign_id == sent.campaign_id)
    if db.session.scalar(totals.with_for_update()) is None:
        return None
    key = (sent.campaign_id, sent.number)
    delivery = db.session.get(Delivery, key, with_for_update=True, populate_existing=True)
    return About(sent, delivery.subscriber_id, delivery=delivery) if delivery else None


def carry_out(reading: Reading, about: About, *, now: datetime) -> None:
    """Do what a report says, in the caller's transaction. It has not been seen before."""
    if reading.kind in CAME_BACK:
        _came_back(reading, about, now)
    elif reading.kind is Kind.COMPLAINT:
        _complained(about, now)
    elif reading.kind is Kind.UNSUBSCRIBE:
        _leave(about, now)


def _came_back(reading: Reading, about: About, now: datetime) -> None:
    if about.delivery is not None:
        _mark(about.delivery, DeliveryStatus.BOUNCED, now)
    if about.mail is not None:
        _mark_mail(about.mail, reading)
    subscriber = _subscriber(about)
    if subscriber is None:
        return
    if about.mail is not None and reading.kind is Kind.HARD and not _drop_requests(subscriber):
        return  # who asked for it never confirmed anything, and is no longer here
    gives_up = reading.kind is Kind.HARD or (
        reading.kind is Kind.SOFT and about.delivery is not None and has_bounced_too_often(about.delivery)
    )
    if gives_up and not _proved_since(subscriber, _sent_at(about)):
        suppress(subscriber.address_key, SuppressionReason.BOUNCED, now)


def _complained(about: About, now: datetime) -> None:
    if about.delivery is not None:
        _mark(about.delivery, DeliveryStatus.COMPLAINED, now)
    subscriber = _subscriber(about)
    if subscriber is None:
        return
    suppress(subscriber.address_key, SuppressionReason.COMPLAINED, now)
    leave(subscriber, None, now=now, method="complaint", visit=NOWHERE)
    _drop_requests(subscriber)


def _leave(about: About, now: datetime) -> None:
    subscriber = _subscriber(about)
    if subscriber is None or about.delivery is None:
        return
    campaign_id, list_id = about.delivery.campaign_id, about.delivery.list_id
    lists = [item.id for item in lists_of_link(subscriber, list_id, campaign_id)]
    leave(subscriber, lists, now=now, method="mail", visit=NOWHERE, campaign_id=campaign_id)


def _mark(delivery: Delivery, status: DeliveryStatus, now: datetime) -> None:
    """Mark a delivery and count it once for what became of it; accepted it was in any case."""
    if delivery.status is DeliveryStatus.UNCERTAIN:
        # Nobody knew whether it had been taken: now we do.
        delivery.accepted_at = now
        count(delivery.campaign_id, uncertain=-1, accepted=1, measured=int(delivery.is_measured))
        delivery.status = DeliveryStatus.ACCEPTED
    may = {DeliveryStatus.ACCEPTED} | (
        {DeliveryStatus.BOUNCED} if status is DeliveryStatus.COMPLAINED else set()
    )
    if delivery.status in may:
        delivery.status = status
        count(delivery.campaign_id, **{status.value: 1})
        db.session.flush()


def _mark_mail(mail: OutboxMail, reading: Reading) -> None:
    """Put a single mail among those that did not arrive, for staff to see."""
    if mail.status in {MailStatus.ACCEPTED, MailStatus.UNCERTAIN}:
        mail.status = MailStatus.FAILED
        is_full = reading.reason in {"full", "full_text"}
        mail.reply_code = 552 if is_full else 554 if reading.kind is Kind.OURS else _code(reading.kind)
        db.session.flush()


def _code(kind: Kind) -> int:
    return _REFUSED if kind is Kind.HARD else _FOR_NOW


def _subscriber(about: About) -> Subscriber | None:
    """Return whose address the mail went to, if that is still their address."""
    if about.subscriber_id is None or (about.mail is not None and about.mail.template not in _TO_SUBSCRIBER):
        return None
    subscriber = db.session.get(Subscriber, about.subscriber_id, with_for_update=True)
    return None if subscriber is None or _has_moved(subscriber.id, _sent_at(about)) else subscriber


def _has_moved(subscriber_id: int, since: datetime) -> bool:
    """Tell whether a person has changed their address since a mail went out: the old one came back."""
    moved = sa.select(AuditEntry.id).where(
        AuditEntry.object == f"subscriber:{subscriber_id}",
        AuditEntry.action == "address changed",
        AuditEntry.at >= since,
    )
    return db.session.scalar(moved.limit(1)) is not None


def _sent_at(about: About) -> datetime:
    """Return when the mail went out; the earliest moment where nobody wrote it down."""
    if about.mail is not None:
        return about.mail.created_at
    assert about.delivery is not None  # noqa: S101 - it is one of the two
    return about.delivery.accepted_at or _BEGINNING


def _proved_since(subscriber: Subscriber, since: datetime) -> bool:
    """Tell whether the mailbox has answered since: a confirmation came out of it."""
    return any(
        item.confirmed_at is not None and item.confirmed_at > since for item in subscriber.subscriptions
    )


def _drop_requests(subscriber: Subscriber) -> bool:
    """Take back what waits for a mailbox that will not answer; tell whether the person is still here."""
    waiting = sa.select(Signup).where(Signup.subscriber_id == subscriber.id, Signup.confirmed_at.is_(None))
    withdraw_requests(list(db.session.scalars(waiting)))
    if db.session.scalar(sa.select(Subscriber.id).where(Subscriber.id == subscriber.id)) is None:
        db.session.expunge(subscriber)
        forget([subscriber.id])
        return False
    db.session.expire(subscriber, ["subscriptions"])
    return True
