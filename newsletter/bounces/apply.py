"""What a report changes: the delivery, the campaign's figures, and whether we go on writing there.

A mailbox that is full, a filter, a late or automatic mail never cost anybody their subscription.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from newsletter.bounces.models import CAME_BACK, Kind
from newsletter.bounces.parser import Reading
from newsletter.bounces.personal_data import forget
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
from newsletter.subscribers.self_service.unsubscribe import leave, lists_of_link
from newsletter.subscribers.signup.confirm import withdraw_requests
from newsletter.subscribers.suppressions import suppress

#: A report comes from a mail server, which stands for nobody's browser.
NOWHERE = Visit(ip="")
#: Single mails that went to the subscriber's own address, and not to one they wanted to change to.
_TO_SUBSCRIBER = {"confirm", "activated", "already_subscribed", "left", "fresh_link"}
#: How a mail that came back looks among those that a server refused at once.
_REFUSED, _FOR_NOW = 550, 450
#: A complaint comes also about a mail that came back from one of several mailboxes behind an address.
_ACCEPTED_BEFORE = {DeliveryStatus.ACCEPTED, DeliveryStatus.BOUNCED}
#: How the audit log names that a person has another address; one put right at the desk is confirmed first.
_MOVE = "address changed"
_BEGINNING = datetime.min.replace(tzinfo=UTC)


_ROWS = table_of(Delivery)
_THIS = sa.and_(
    _ROWS.c.campaign_id == sa.bindparam("campaign"), _ROWS.c.subscriber_id == sa.bindparam("person")
)
# Made once: building a statement costs more than running it.
_TOTALS = (
    sa.select(CampaignTotals.campaign_id)
    .where(CampaignTotals.campaign_id == sa.bindparam("campaign"))
    .with_for_update()
)
_COPY = (
    sa.select(_ROWS.c.list_id, _ROWS.c.status, _ROWS.c.accepted_at, _ROWS.c.is_measured)
    .where(_THIS)
    .with_for_update()
)
_MARK = (
    sa.update(_ROWS)
    .where(_THIS)
    .values(
        status=sa.bindparam("new_status", type_=_ROWS.c.status.type),
        accepted_at=sa.bindparam("new_accepted_at", type_=_ROWS.c.accepted_at.type),
        leased_by=None,
        leased_until=None,
    )
)
_MOVED = (
    sa.select(AuditEntry.id)
    .where(
        AuditEntry.object == sa.bindparam("object"),
        AuditEntry.action == _MOVE,
        AuditEntry.at >= sa.bindparam("since"),
    )
    .limit(1)
)
_PROVED = (
    sa.select(Subscription.id)
    .where(
        Subscription.subscriber_id == sa.bindparam("person"),
        Subscription.confirmed_at > sa.bindparam("since"),
    )
    .limit(1)
)


_STATEMENTS: dict[str, sa.Select[Any] | sa.Update] = {
    "totals": _TOTALS,
    "mark": _MARK,
    "moved": _MOVED,
    "proved": _PROVED,
}


@dataclass(frozen=True, slots=True)
class Copy:
    """A campaign's copy to one person, as its delivery stands."""

    campaign_id: int
    subscriber_id: int
    list_id: int
    status: DeliveryStatus
    accepted_at: datetime | None
    is_measured: bool


@dataclass(frozen=True, slots=True)
class About:
    """The mail that a report is about, locked. A single mail to staff has no subscriber."""

    sent: SentMail
    subscriber_id: int | None
    copy: Copy | None = None
    mail: OutboxMail | None = None


def find_about(sent: SentMail) -> About | None:
    """Return the mail that was sent; None when it is no longer here."""
    if sent.campaign_id == OUTBOX_CAMPAIGN:
        mail = db.session.get(OutboxMail, sent.number, with_for_update=True, populate_existing=True)
        return About(sent, mail.subscriber_id, mail=mail) if mail else None
    # The campaign's totals first, as everybody locks them: so that no two wait for each other.
    if not _run("totals", campaign=sent.campaign_id):
        return None
    this = {"campaign": sent.campaign_id, "person": sent.number}
    row = db.session.connection().execute(_COPY, this).first()
    return About(sent, sent.number, Copy(sent.campaign_id, sent.number, *row)) if row else None


def carry_out(reading: Reading, about: About, *, now: datetime) -> None:
    """Do what a report says, in the caller's transaction. It has not been seen before."""
    if reading.kind in CAME_BACK:
        _came_back(reading, about, now)
    elif reading.kind is Kind.COMPLAINT:
        _complained(about, now)
    elif reading.kind is Kind.UNSUBSCRIBE:
        _leave(about, now)


def _came_back(reading: Reading, about: About, now: datetime) -> None:
    if about.copy is not None:
        _mark(about.copy, DeliveryStatus.BOUNCED, now)
    if about.mail is not None:
        _mark_mail(about.mail, reading)
    gives_up = reading.kind is Kind.HARD or (
        reading.kind is Kind.SOFT
        and about.copy is not None
        and has_bounced_too_often(about.copy.subscriber_id, about.copy.accepted_at or now)
    )
    subscriber = _subscriber(about) if gives_up else None
    if subscriber is None:
        return
    if about.mail is not None and not _drop_requests(subscriber):
        return  # who asked for it never confirmed anything, and is no longer here
    if not _run("proved", person=subscriber.id, since=_sent_at(about)):
        suppress(subscriber.address_key, SuppressionReason.BOUNCED, now)


def _complained(about: About, now: datetime) -> None:
    if about.copy is not None:
        _mark(about.copy, DeliveryStatus.COMPLAINED, now)
    subscriber = _subscriber(about)
    if subscriber is None:
        return
    suppress(subscriber.address_key, SuppressionReason.COMPLAINED, now)
    leave(subscriber, None, now=now, method="complaint", visit=NOWHERE)
    _drop_requests(subscriber)


def _leave(about: About, now: datetime) -> None:
    subscriber = _subscriber(about)
    if subscriber is None or about.copy is None:
        return
    campaign_id, list_id = about.copy.campaign_id, about.copy.list_id
    lists = [item.id for item in lists_of_link(subscriber, list_id, campaign_id)]
    leave(subscriber, lists, now=now, method="mail", visit=NOWHERE, campaign_id=campaign_id)


def _mark(copy: Copy, status: DeliveryStatus, now: datetime) -> None:
    """Mark a delivery and count it once for what became of it; accepted it was in any case."""
    # Nobody knew whether it had been taken, or the answer is still on its way to us: now we know.
    was_doubtful = copy.status in {DeliveryStatus.UNCERTAIN, DeliveryStatus.SENDING}
    comes_from = _ACCEPTED_BEFORE if status is DeliveryStatus.COMPLAINED else {DeliveryStatus.ACCEPTED}
    if not was_doubtful and copy.status not in comes_from:
        return
    if was_doubtful:
        in_doubt = int(copy.status is DeliveryStatus.UNCERTAIN)
        add_to_totals(copy.campaign_id, uncertain=-in_doubt, accepted=1, measured=int(copy.is_measured))
    new = {"new_status": status, "new_accepted_at": copy.accepted_at or now}
    _run("mark", campaign=copy.campaign_id, person=copy.subscriber_id, **new)
    add_to_totals(copy.campaign_id, **{status.value: 1})


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
    if subscriber is None:
        return None
    # The old address came back: that says nothing of the one they have changed to since.
    moved = _run("moved", object=f"subscriber:{subscriber.id}", since=_sent_at(about))
    return None if moved else subscriber


def _sent_at(about: About) -> datetime:
    """Return when the mail went out; the earliest moment where nobody wrote it down."""
    if about.mail is not None:
        return about.mail.created_at
    assert about.copy is not None  # noqa: S101 - it is one of the two
    return about.copy.accepted_at or _BEGINNING


def _run(name: str, **values: object) -> list[tuple[Any, ...]]:
    return _prepared(name, dialect()).run(values)


@cache
def _prepared(name: str, dialect: Dialect) -> PreparedStatement:
    return PreparedStatement(_STATEMENTS[name], dialect)


def _drop_requests(subscriber: Subscriber) -> bool:
    """Take back what waits for a mailbox that will not answer; tell whether the person is still here."""
    waiting = sa.select(Signup).where(Signup.subscriber_id == subscriber.id, Signup.confirmed_at.is_(None))
    signups = list(db.session.scalars(waiting))
    if not signups:
        return True
    withdraw_requests(signups)
    if db.session.scalar(sa.select(Subscriber.id).where(Subscriber.id == subscriber.id)) is None:
        db.session.expunge(subscriber)
        forget([subscriber.id])
        return False
    db.session.expire(subscriber, ["subscriptions"])
    return True
