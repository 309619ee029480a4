"""The register of rights requests: one row a request, with its due date and its outcome.

Control of the mailbox is enough to identify a person; a signature or a copy of an ID is never asked for.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.db import db
from newsletter.durable import restore_journal
from newsletter.durable.restore_journal import JournalEntry
from newsletter.errors import N_, LinkExpired, NewsletterError, NotFound
from newsletter.ledger import audit
from newsletter.mail import outbox
from newsletter.privacy.deadlines import extended_response_due_on, local_day, response_due_on
from newsletter.privacy.models import RequestKind, RequestStatus, RightsRequest
from newsletter.ratelimit import limiter
from newsletter.retention import PENDING_DAYS
from newsletter.subscribers import objections
from newsletter.subscribers.addresses import Address, hash_address, parse_address
from newsletter.subscribers.links import token_url
from newsletter.subscribers.models import Subscriber
from newsletter.subscribers.signup import mail_quota
from newsletter.subscribers.suppressions import is_former_address
from newsletter.web.signed_tokens import SignedLink, hash_secret

#: 128 random bits; what it is for stands in its row.
CONFIRM_LINK = SignedLink("rights request", "16s")
#: Links that the public form may send to one mailbox: whoever fills it in need not be its owner.
LINKS_PER_MAILBOX = "3/day;10/30day"
#: Links that the public form may send to one mail provider. A budget of their own: signups use up none of it.
LINKS_PER_DOMAIN = "60/hour"
#: The channel of what no person asks for: a restored copy is not as it should be.
RESTORED_CHANNEL = "restored"
#: How a request may come in; the first two the person enters, the last a restore, the others staff do.
CHANNEL_LABELS = {
    "own_page": N_("Own details page"),
    "form": N_("Form on the site"),
    "mail": N_("E-mail"),
    "phone": N_("Telephone"),
    "letter": N_("Letter"),
    "visit": N_("Visit"),
    RESTORED_CHANNEL: N_("Restored backup"),
}
STAFF_CHANNELS = ("mail", "phone", "letter", "visit")
KIND_LABELS = {
    RequestKind.ACCESS: N_("Access to one's data"),
    RequestKind.PORTABILITY: N_("Data in a portable form"),
    RequestKind.RECTIFICATION: N_("Rectification"),
    RequestKind.ERASURE: N_("Erasure"),
    RequestKind.RESTRICTION: N_("Restriction"),
    RequestKind.OBJECTION: N_("Objection (ban)"),
}
#: RD-8.
SCOPE_LABELS = objections.SCOPE_LABELS
#: RD-6.
REFUSAL_REASONS = {
    "law": N_("The law requires us to keep the data"),
    "invoice": N_("An invoice is open"),
    "collection": N_("A debt is being collected"),
    "claim": N_("The data is needed for a legal claim"),
    "identity": N_("It is not clear who asks"),
    "unfounded": N_("The request is manifestly unfounded or excessive"),
}
STATUS_LABELS = {
    RequestStatus.UNPROVEN: N_("Waits for the mailbox"),
    RequestStatus.OPEN: N_("Not answered yet"),
    RequestStatus.DONE: N_("Carried out"),
    RequestStatus.NOTHING_HELD: N_("Nothing held"),
    RequestStatus.REFUSED: N_("Refused"),
}


class UnknownRequest(NotFound):
    """There is no request of that number."""

    message = N_("There is no request with this number.")


class RequestClosed(NewsletterError):
    """It has been answered, or its mailbox has not."""

    message = N_("This request is not open.")


class ScopeMissing(NewsletterError):
    """An objection is to something."""

    message = N_("Choose what the objection is to.")


class ReasonMissing(NewsletterError):
    """No refusal and no extension without a reason (RD-6)."""

    message = N_("Choose a reason and explain it in words.")


class TooLateToExtend(NewsletterError):
    """One extension, told inside the first month (RD-2)."""

    message = N_("A request can be extended once, before its first due date has passed.")


class TooManyLinks(NewsletterError):
    """Whoever fills in the form need not own the mailbox, and must not be able to fill that too."""

    message = N_(
        "We cannot send another link to this mailbox now. Open one of those we have sent, or write to us."
    )


def record_request(  # noqa: PLR0913 - a request as it came in; all but two are named by the caller
    kind: RequestKind,
    text: str,
    *,
    channel: str,
    language: str,
    now: datetime,
    actor: str,
    details: str = "",
    scopes: Sequence[str] = (),
    ip: str = "",
) -> RightsRequest:
    """Record a request and return its row; raise AddressInvalid or ScopeMissing. The caller commits.

    One from the public form waits until it is confirmed from its mailbox; the response to the visitor is
    the same for every address. ``ip`` is the visitor's, whose network has a share of each hour's links.
    Raises TooManyLinks for a mailbox that has reached its limit of links.
    """
    address = parse_address(text)
    if kind is RequestKind.OBJECTION and not set(scopes) & set(SCOPE_LABELS):
        raise ScopeMissing
    person = db.session.scalar(sa.select(Subscriber).where(Subscriber.address_key == address.key))
    proven = channel != "form"
    request = RightsRequest(
        kind=kind,
        status=RequestStatus.OPEN if proven else RequestStatus.UNPROVEN,
        subscriber_id=person.id if person else None,
        address=person.address if person else address.text,
        address_hash=hash_address(address.key),
        details=details.strip()[:4000] or None,
        # Only an objection is to something: whoever ticked more has not said more.
        scopes=",".join(scope for scope in SCOPE_LABELS if scope in scopes and kind is RequestKind.OBJECTION),
        channel=channel,
        language=language,
        received_at=now,
        due_on=response_due_on(now),
        identified_at=now if proven else None,
        identified_by=("mailbox" if channel == "own_page" else "staff") if proven else None,
    )
    due_at = now if proven else _reserve_mail_slot(address, now, ip)
    db.session.add(request)
    db.session.flush()
    if proven:
        _write_journal(request, now)
    else:
        _send_confirmation_link(request, now, due_at)
    _record_audit("request received", request, actor, now, kind=kind.value, channel=channel)
    return request


def get_unconfirmed(token: str) -> RightsRequest:
    """Return the request of a confirmation link; raise LinkInvalid or LinkExpired."""
    (secret,) = CONFIRM_LINK.read(token)
    found = db.session.scalar(sa.select(RightsRequest).where(RightsRequest.token_hash == hash_secret(secret)))
    if found is None:
        raise LinkExpired
    return found


def confirm_request(token: str, *, now: datetime) -> RightsRequest:
    """Confirm a request from its mailbox, which opens it; a second time changes nothing."""
    request = get_unconfirmed(token)
    if request.status is RequestStatus.UNPROVEN:
        request.status = RequestStatus.OPEN
        request.identified_at, request.identified_by = now, "mailbox"
        _write_journal(request, now)
        _record_audit("request proven", request, "person", now)
    return request


def get_request(number: int, *, lock: bool = False) -> RightsRequest:
    """Return a request; raise UnknownRequest."""
    found = db.session.get(RightsRequest, number, with_for_update=lock or None)
    if found is None:
        raise UnknownRequest
    return found


def get_open_request(number: int) -> RightsRequest:
    """Return a request to be answered, locked; raise UnknownRequest or RequestClosed."""
    request = get_request(number, lock=True)
    if request.status is not RequestStatus.OPEN:
        raise RequestClosed
    return request


def close_request(
    request: RightsRequest, status: RequestStatus, *, now: datetime, actor: str, reply_by: str
) -> None:
    """Record the outcome of a request."""
    request.status, request.decided_at, request.handler = status, now, actor
    request.reply_by = reply_by
    _write_journal(request, now)
    _record_audit(f"request {status.value}", request, actor, now, kind=request.kind.value)


def extend_deadline(number: int, reason: str, *, now: datetime, actor: str) -> RightsRequest:
    """Extend the due date by two months (GDPR art. 12(3)); the caller notifies the person.

    Raises RequestClosed, ReasonMissing or TooLateToExtend.
    """
    request = get_open_request(number)
    if not reason.strip():
        raise ReasonMissing
    if request.extended_at is not None or local_day(now) > request.due_on:
        raise TooLateToExtend
    request.extended_at, request.extension_reason = now, reason.strip()[:2000]
    request.due_on = extended_response_due_on(request.received_at)
    _write_journal(request, now)
    _record_audit("request extended", request, actor, now)
    return request


def list_requests(*, everything: bool) -> Sequence[RightsRequest]:
    """Return the open requests by due date, or all of them, newest first."""
    if everything:
        return db.session.scalars(sa.select(RightsRequest).order_by(RightsRequest.id.desc()).limit(500)).all()
    waiting = (RequestStatus.OPEN, RequestStatus.UNPROVEN)
    return db.session.scalars(
        sa.select(RightsRequest)
        .where(RightsRequest.status.in_(waiting))
        .order_by(RightsRequest.due_on, RightsRequest.id)
    ).all()


def _write_journal(request: RightsRequest, now: datetime) -> None:
    """Write the request's status to the restore journal, which a restored backup cannot lose."""
    told = {
        "number": request.id,
        "kind": request.kind.value,
        "status": request.status.value,
        "scopes": request.scopes,
        "channel": request.channel,
        "language": request.language,
        "received": request.received_at.isoformat(),
        "identified": (request.identified_at or now).isoformat(),
        "identified_by": request.identified_by,
        "due": request.due_on.isoformat(),
        "extended": request.extended_at.isoformat() if request.extended_at else None,
        "decided": request.decided_at.isoformat() if request.decided_at else None,
        "handler": request.handler,
        "reason": request.reason_code,
        "reply_by": request.reply_by,
    }
    restore_journal.append_before_commit(
        JournalEntry(now, request.address_hash, restore_journal.REQUESTED, told=told)
    )


def _reserve_mail_slot(address: Address, now: datetime, ip: str) -> datetime:
    """Return when a link may be sent to a mailbox; raise TooManyLinks."""
    if limiter.hit(LINKS_PER_MAILBOX, "rights mail", hash_address(address.key)):
        turn = mail_quota.find_turn(LINKS_PER_DOMAIN, "rights domain", address, now, ip=ip)
        if turn != now:
            mail_quota.note_limit(address, now)
        if turn is not None:
            return turn
    raise TooManyLinks


def _send_confirmation_link(request: RightsRequest, now: datetime, due_at: datetime) -> None:
    if is_former_address(str(request.address).casefold()):
        return  # whoever has that mailbox now need not be the person
    secret = secrets.token_bytes(16)
    request.token_hash = hash_secret(secret)
    url = token_url("rights.prove", CONFIRM_LINK.make(secret), request.language)
    outbox.enqueue(
        "rights_link",
        to=str(request.address),
        language=request.language,
        now=now,
        subscriber_id=request.subscriber_id,
        context={
            "url": url,
            "kind": request.kind.value,
            "expires_at": (now + timedelta(days=PENDING_DAYS)).isoformat(),
        },
        due_at=due_at,
    )


def _record_audit(action: str, request: RightsRequest, actor: str, now: datetime, **details: str) -> None:
    audit.record(action, actor=actor, now=now, object=f"request:{request.id}", about=None, **details)
