"""Applies a report: updates the delivery, the campaign's totals, and suppressions.

A full mailbox, a filter, a delayed or automatic mail never ends a subscription.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from newsletter.bounces.models import BOUNCE_KINDS, ReportKind
from newsletter.bounces.parser import Report
from newsletter.bounces.personal_data import anonymize
from newsletter.bounces.soft_bounces import has_bounced_too_often
from newsletter.campaigns.models import CampaignTotals
from newsletter.db import db, dialect, table_of
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.models import MailStatus, OutboxMail
from newsletter.mail.return_path import OUTBOX_CAMPAIGN, SentMail
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.worker.leasing import add_to_totals
from newsletter.sending.worker.prepared import PreparedStatement
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.models import Signup, Subscriber, Subscription, SuppressionReason
from newsletter.subscribers.self_service.unsubscribe import lists_of_token, unsubscribe_from
from newsletter.subscribers.signup.confirm import delete_pending_signups
from newsletter.subscribers.suppressions import suppress

#: Reports come from mail servers, so the evidence has no client address.
NO_VISIT = Visit(ip="")
#: Templates sent to the subscriber's current address, not to a requested new one.
_SUBSCRIBER_TEMPLATES = {"confirm", "activated", "already_subscribed", "left", "fresh_link"}
#: Reply codes shown for bounced single mails: permanent, transient.
_PERMANENT_CODE, _TRANSIENT_CODE = 550, 450
#: Also BOUNCED: an alias may bounce for one of its mailboxes and be complained about by another.
_MAY_COMPLAIN_FROM = {DeliveryStatus.ACCEPTED, DeliveryStatus.BOUNCED}
#: The audit action of a changed address; a rectified one is confirmed first, too.
_ADDRESS_CHANGED_ACTION = "address changed"
_EARLIEST = datetime.min.replace(tzinfo=UTC)


_DELIVERIES = table_of(Delivery)
_BY_KEY = sa.and_(
    _DELIVERIES.c.campaign_id == sa.bindparam("campaign"),
    _DELIVERIES.c.subscriber_id == sa.bindparam("person"),
)
# Built once: building a statement costs more than running it.
_LOCK_TOTALS = (
    sa.select(CampaignTotals.campaign_id)
    .where(CampaignTotals.campaign_id == sa.bindparam("campaign"))
    .with_for_update()
)
_LOCK_DELIVERY = (
    sa.select(
        _DELIVERIES.c.list_id, _DELIVERIES.c.status, _DELIVERIES.c.accepted_at, _DELIVERIES.c.is_measured
    )
    .where(_BY_KEY)
    .with_for_update()
)
_SET_STATUS = (
    sa.update(_DELIVERIES)
    .where(_BY_KEY)
    .values(
        status=sa.bindparam("new_status", type_=_DELIVERIES.c.status.type),
        accepted_at=sa.bindparam("new_accepted_at", type_=_DELIVERIES.c.accepted_at.type),
        leased_by=None,
        leased_until=None,
    )
)
_ADDRESS_CHANGED_SINCE = (
    sa.select(AuditEntry.id)
    .where(
        AuditEntry.object == sa.bindparam("object"),
        AuditEntry.action == _ADDRESS_CHANGED_ACTION,
        AuditEntry.at >= sa.bindparam("since"),
    )
    .limit(1)
)
_CONFIRMED_SINCE = (
    sa.select(Subscription.id)
    .where(
        Subscription.subscriber_id == sa.bindparam("person"),
        Subscription.confirmed_at > sa.bindparam("since"),
    )
    .limit(1)
)


_STATEMENTS: dict[str, sa.Select[Any] | sa.Update] = {
    "totals": _LOCK_TOTALS,
    "mark": _SET_STATUS,
    "moved": _ADDRESS_CHANGED_SINCE,
    "proved": _CONFIRMED_SINCE,
}


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """A campaign's delivery to one subscriber, as locked."""

    campaign_id: int
    subscriber_id: int
    list_id: int
    status: DeliveryStatus
    accepted_at: datetime | None
    is_measured: bool


@dataclass(frozen=True, slots=True)
class ReportedMail:
    """The mail a report is about, locked. A single mail to staff has no subscriber."""

    sent: SentMail
    subscriber_id: int | None
    delivery: DeliveryState | None = None
    mail: OutboxMail | None = None


def find_reported_mail(sent: SentMail) -> ReportedMail | None:
    """Return the sent mail, locked; None when it has been deleted."""
    if sent.campaign_id == OUTBOX_CAMPAIGN:
        mail = db.session.get(OutboxMail, sent.number, with_for_update=True, populate_existing=True)
        return ReportedMail(sent, mail.subscriber_id, mail=mail) if mail else None
    # The totals are locked first, as everywhere, against deadlocks.
    if not _run("totals", campaign=sent.campaign_id):
        return None
    this = {"campaign": sent.campaign_id, "person": sent.number}
    row = db.session.connection().execute(_LOCK_DELIVERY, this).first()
    return (
        ReportedMail(sent, sent.number, DeliveryState(sent.campaign_id, sent.number, *row)) if row else None
    )


def apply_report(reading: Report, about: ReportedMail, *, now: datetime) -> None:
    """Apply a report, in the caller's transaction. The caller has excluded duplicates."""
    if reading.kind in BOUNCE_KINDS:
        _apply_bounce(reading, about, now)
    elif reading.kind is ReportKind.COMPLAINT:
        _apply_complaint(about, now)
    elif reading.kind is ReportKind.UNSUBSCRIBE:
        _apply_unsubscribe(about, now)


def _apply_bounce(reading: Report, about: ReportedMail, now: datetime) -> None:
    if about.delivery is not None:
        _update_delivery(about.delivery, DeliveryStatus.BOUNCED, now)
    if about.mail is not None:
        _mark_mail_failed(about.mail, reading)
    gives_up = reading.kind is ReportKind.HARD or (
        reading.kind is ReportKind.SOFT
        and about.delivery is not None
        and has_bounced_too_often(about.delivery.subscriber_id, about.delivery.accepted_at or now)
    )
    subscriber = _lock_current_subscriber(about) if gives_up else None
    if subscriber is None:
        return
    if about.mail is not None and not _delete_signups(subscriber):
        return  # the subscriber had nothing but pending signups, and is erased
    if not _run("proved", person=subscriber.id, since=_sent_at(about)):
        suppress(subscriber.address_key, SuppressionReason.BOUNCED, now)


def _apply_complaint(about: ReportedMail, now: datetime) -> None:
    if about.delivery is not None:
        _update_delivery(about.delivery, DeliveryStatus.COMPLAINED, now)
    subscriber = _lock_current_subscriber(about)
    if subscriber is None:
        return
    suppress(subscriber.address_key, SuppressionReason.COMPLAINED, now)
    unsubscribe_from(subscriber, None, now=now, method="complaint", visit=NO_VISIT)
    _delete_signups(subscriber)


def _apply_unsubscribe(about: ReportedMail, now: datetime) -> None:
    subscriber = _lock_current_subscriber(about)
    if subscriber is None or about.delivery is None:
        return
    campaign_id, list_id = about.delivery.campaign_id, about.delivery.list_id
    lists = [item.id for item in lists_of_token(subscriber, list_id, campaign_id)]
    unsubscribe_from(subscriber, lists, now=now, method="mail", visit=NO_VISIT, campaign_id=campaign_id)


def _update_delivery(copy: DeliveryState, status: DeliveryStatus, now: datetime) -> None:
    """Set the status of a delivery and count it once; it counts as accepted in any case."""
    # Its reply was never read, or is not read yet; the report proves that it was accepted.
    was_doubtful = copy.status in {DeliveryStatus.UNCERTAIN, DeliveryStatus.SENDING}
    comes_from = _MAY_COMPLAIN_FROM if status is DeliveryStatus.COMPLAINED else {DeliveryStatus.ACCEPTED}
    if not was_doubtful and copy.status not in comes_from:
        return
    if was_doubtful:
        in_doubt = int(copy.status is DeliveryStatus.UNCERTAIN)
        add_to_totals(copy.campaign_id, uncertain=-in_doubt, accepted=1, measured=int(copy.is_measured))
    new = {"new_status": status, "new_accepted_at": copy.accepted_at or now}
    _run("mark", campaign=copy.campaign_id, person=copy.subscriber_id, **new)
    add_to_totals(copy.campaign_id, **{status.value: 1})


def _mark_mail_failed(mail: OutboxMail, reading: Report) -> None:
    """Mark a single mail as failed, so that staff see it."""
    if mail.status in {MailStatus.ACCEPTED, MailStatus.UNCERTAIN}:
        mail.status = MailStatus.FAILED
        is_full = reading.reason in {"full", "full_text"}
        mail.reply_code = (
            552 if is_full else 554 if reading.kind is ReportKind.OURS else _reply_code_of(reading.kind)
        )
        db.session.flush()


def _reply_code_of(kind: ReportKind) -> int:
    return _PERMANENT_CODE if kind is ReportKind.HARD else _TRANSIENT_CODE


def _lock_current_subscriber(about: ReportedMail) -> Subscriber | None:
    """Return the subscriber, locked, if the mail went to their current address; else None."""
    if about.subscriber_id is None or (
        about.mail is not None and about.mail.template not in _SUBSCRIBER_TEMPLATES
    ):
        return None
    subscriber = db.session.get(Subscriber, about.subscriber_id, with_for_update=True)
    if subscriber is None:
        return None
    # A bounce of the old address says nothing about the one it was changed to since.
    moved = _run("moved", object=f"subscriber:{subscriber.id}", since=_sent_at(about))
    return None if moved else subscriber


def _sent_at(about: ReportedMail) -> datetime:
    """Return when the mail was sent, by the earliest known instant."""
    if about.mail is not None:
        return about.mail.created_at
    assert about.delivery is not None  # noqa: S101 - it is one of the two
    return about.delivery.accepted_at or _EARLIEST


def _run(name: str, **values: object) -> list[tuple[Any, ...]]:
    return _prepared(name, dialect()).run(values)


@cache
def _prepared(name: str, dialect: Dialect) -> PreparedStatement:
    return PreparedStatement(_STATEMENTS[name], dialect)


def _delete_signups(subscriber: Subscriber) -> bool:
    """Delete the pending signups of a person; return whether the subscriber still exists."""
    waiting = sa.select(Signup).where(Signup.subscriber_id == subscriber.id, Signup.confirmed_at.is_(None))
    signups = list(db.session.scalars(waiting))
    if not signups:
        return True
    delete_pending_signups(signups)
    if db.session.scalar(sa.select(Subscriber.id).where(Subscriber.id == subscriber.id)) is None:
        db.session.expunge(subscriber)
        anonymize([subscriber.id])
        return False
    db.session.expire(subscriber, ["subscriptions"])
    return True
