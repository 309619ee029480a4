"""The desk of rights: every request has a line, a due date, and one deliberate press that answers it.

Control of the mailbox is identity enough; a signature or a copy of a document is never asked for.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.db import db
from newsletter.durable import restore_journal
from newsletter.durable.restore_journal import Line
from newsletter.errors import N_, LinkExpired, NewsletterError, NotFound
from newsletter.ledger import audit
from newsletter.mail import outbox
from newsletter.privacy.deadlines import due_on, extended_due_on, local_day
from newsletter.privacy.models import RequestKind, RequestStatus, RightsRequest
from newsletter.ratelimit import limiter
from newsletter.retention import PENDING_DAYS
from newsletter.subscribers.addresses import Address, hash_address, parse_address
from newsletter.subscribers.links import address_of
from newsletter.subscribers.models import Subscriber
from newsletter.subscribers.signup import mail_quota
from newsletter.subscribers.suppressions import is_left_behind
from newsletter.web.signed_tokens import SignedLink, hash_secret

#: 128 random bits; what it is for stands in its row.
PROVE = SignedLink("rights request", "16s")
#: Links that the public form may send to one mailbox: whoever fills it in need not be its owner.
PER_MAILBOX = "3/day;10/30day"
#: The channel of what no person asks for: a restored copy is not as it should be.
RESTORED = "restored"
#: How a request may come in; the first two the person enters, the last a restore, the others staff do.
CHANNELS = {
    "own_page": N_("Own details page"),
    "form": N_("Form on the site"),
    "mail": N_("E-mail"),
    "phone": N_("Telephone"),
    "letter": N_("Letter"),
    "visit": N_("Visit"),
    RESTORED: N_("Restored backup"),
}
BY_STAFF = ("mail", "phone", "letter", "visit")
KINDS = {
    RequestKind.ACCESS: N_("Access to one's data"),
    RequestKind.PORTABILITY: N_("Data in a portable form"),
    RequestKind.RECTIFICATION: N_("Rectification"),
    RequestKind.ERASURE: N_("Erasure"),
    RequestKind.RESTRICTION: N_("Restriction"),
    RequestKind.OBJECTION: N_("Objection (ban)"),
}
#: RD-8.
SCOPES = {
    "direct_marketing": N_("Direct marketing"),
    "research": N_("Research and measuring"),
    "lists": N_("Lists and directories"),
    "disclosure": N_("Disclosure to others"),
    "all_mail": N_("All mail"),
}
#: RD-6.
REASONS = {
    "law": N_("The law requires us to keep the data"),
    "invoice": N_("An invoice is open"),
    "collection": N_("A debt is being collected"),
    "claim": N_("The data is needed for a legal claim"),
    "identity": N_("It is not clear who asks"),
    "unfounded": N_("The request is manifestly unfounded or excessive"),
}
STATUSES = {
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


class NoMoreLinks(NewsletterError):
    """Whoever fills in the form need not own the mailbox, and must not be able to fill that too."""

    message = N_(
        "We cannot send another link to this mailbox now. Open one of those we have sent, or write to us."
    )


def receive(
    kind: RequestKind,
    text: str,
    *,
    channel: str,
    language: str,
    now: datetime,
    actor: str,
    details: str = "",
    scopes: Sequence[str] = (),
) -> RightsRequest:
    """Enter a request and return its line; raise AddressInvalid or ScopeMissing.

    One from the public form waits until its mailbox has answered; the answer to the visitor is the
    same for every address. Raises NoMoreLinks for a mailbox that has been sent its share of them.
    """
    address = parse_address(text)
    if kind is RequestKind.OBJECTION and not set(scopes) & set(SCOPES):
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
        scopes=",".join(scope for scope in SCOPES if scope in scopes and kind is RequestKind.OBJECTION),
        channel=channel,
        language=language,
        received_at=now,
        due_on=due_on(now),
        identified_at=now if proven else None,
        identified_by=("mailbox" if channel == "own_page" else "staff") if proven else None,
    )
    turn = now if proven else _turn_of(address, now)
    db.session.add(request)
    db.session.flush()
    if proven:
        _note(request, now)
    else:
        _ask_mailbox(request, now, turn)
    _log("request received", request, actor, now, kind=kind.value, channel=channel)
    return request


def find_unproven(token: str) -> RightsRequest:
    """Return the request whose mailbox answers now; raise LinkInvalid or LinkExpired."""
    (secret,) = PROVE.read(token)
    found = db.session.scalar(sa.select(RightsRequest).where(RightsRequest.token_hash == hash_secret(secret)))
    if found is None:
        raise LinkExpired
    return found


def prove(token: str, *, now: datetime) -> RightsRequest:
    """Open the request that this mailbox made; a second press changes nothing."""
    request = find_unproven(token)
    if request.status is RequestStatus.UNPROVEN:
        request.status = RequestStatus.OPEN
        request.identified_at, request.identified_by = now, "mailbox"
        _note(request, now)
        _log("request proven", request, "person", now)
    return request


def get_request(number: int, *, lock: bool = False) -> RightsRequest:
    """Return a request; raise UnknownRequest."""
    found = db.session.get(RightsRequest, number, with_for_update=lock or None)
    if found is None:
        raise UnknownRequest
    return found


def get_open(number: int) -> RightsRequest:
    """Return a request to be answered, locked; raise UnknownRequest or RequestClosed."""
    request = get_request(number, lock=True)
    if request.status is not RequestStatus.OPEN:
        raise RequestClosed
    return request


def close(request: RightsRequest, status: RequestStatus, *, now: datetime, actor: str, reply_by: str) -> None:
    """Write down how a request ended."""
    request.status, request.decided_at, request.handler = status, now, actor
    request.reply_by = reply_by
    _note(request, now)
    _log(f"request {status.value}", request, actor, now, kind=request.kind.value)


def extend(number: int, reason: str, *, now: datetime, actor: str) -> RightsRequest:
    """Take two months more; the caller tells the person.

    Raises RequestClosed, ReasonMissing or TooLateToExtend.
    """
    request = get_open(number)
    if not reason.strip():
        raise ReasonMissing
    if request.extended_at is not None or local_day(now) > request.due_on:
        raise TooLateToExtend
    request.extended_at, request.extension_reason = now, reason.strip()[:2000]
    request.due_on = extended_due_on(request.received_at)
    _note(request, now)
    _log("request extended", request, actor, now)
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


def _note(request: RightsRequest, now: datetime) -> None:
    """Write down, where a restored backup cannot lose it, that there is a request, and where it stands."""
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
    restore_journal.note_with_commit(Line(now, request.address_hash, restore_journal.REQUESTED, told=told))


def _turn_of(address: Address, now: datetime) -> datetime:
    """Return when a link may go to a mailbox; raise NoMoreLinks."""
    if limiter.take(PER_MAILBOX, "rights mail", hash_address(address.key)):
        turn = mail_quota.take_turn(address, now)
        if turn is not None:
            return turn
    raise NoMoreLinks


def _ask_mailbox(request: RightsRequest, now: datetime, turn: datetime) -> None:
    if is_left_behind(str(request.address).casefold()):
        return  # whoever has that mailbox now need not be the person
    secret = secrets.token_bytes(16)
    request.token_hash = hash_secret(secret)
    url = address_of("rights.prove", PROVE.make(secret), request.language)
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
        due_at=turn,
    )


def _log(action: str, request: RightsRequest, actor: str, now: datetime, **details: str) -> None:
    audit.record(action, actor=actor, now=now, object=f"request:{request.id}", about=None, **details)
