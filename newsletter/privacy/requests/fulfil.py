"""What each kind of request comes to when it is carried out, refused or extended."""

from datetime import datetime

import sqlalchemy as sa

from newsletter.db import db, insert_or_ignore
from newsletter.durable import restore_journal
from newsletter.durable.restore_journal import Line
from newsletter.ledger import audit
from newsletter.privacy.everyone import is_held
from newsletter.privacy.export.collect import copy_for
from newsletter.privacy.models import Ban, RequestKind, RequestStatus, RightsRequest
from newsletter.privacy.requests import letters, register
from newsletter.privacy.requests.recipients import TOLD_ON, tell_others
from newsletter.privacy.requests.rectification import Corrections, Righted, rectify
from newsletter.privacy.retention.erasure import PersonHeld, erase_subscriber
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.consent.tracking import choose_tracking
from newsletter.subscribers.models import Subscriber, SuppressionReason
from newsletter.subscribers.self_service import unsubscribe
from newsletter.subscribers.suppressions import suppress
from newsletter.web.i18n import translate

NOBODY = Visit(ip="")


def carry_out(
    number: int, *, now: datetime, actor: str, reply_by: str, right: Corrections | None = None
) -> RightsRequest:
    """Do what a request asks for and write the answer. Commits.

    Raises UnknownRequest, RequestClosed, PersonHeld, and what ``rectify`` raises.
    """
    request = register.get_open(number)
    person = _person(request)
    if person is None:
        return _answer_nothing(request, now=now, actor=actor, reply_by=reply_by)
    if request.kind is RequestKind.ERASURE and is_held(person.id):
        raise PersonHeld
    righted = Righted()
    if request.kind is RequestKind.RECTIFICATION:
        righted = rectify(person, right or Corrections(), now=now, actor=actor)
        request.address_link_id = righted.link.id if righted.link else None
    elif request.kind is RequestKind.RESTRICTION:
        _restrict(person, now)
    elif request.kind is RequestKind.OBJECTION:
        _ban(person, request, now)
    told = _tell(request, person, righted, now)
    wants_copy = request.kind in {RequestKind.ACCESS, RequestKind.PORTABILITY}
    with letters.in_language_of(request):
        data = copy_for(person, now) if wants_copy else None
        said = [translate(*change) for change in (*righted.done, *righted.waiting)]
        letters.send(request, letters.carried_out(request, data, said, told), now=now, by=reply_by)
    audit.record(f"{request.kind.value} carried out", actor=actor, now=now, object=f"subscriber:{person.id}")
    register.close(request, RequestStatus.DONE, now=now, actor=actor, reply_by=reply_by)
    db.session.commit()
    if request.kind is RequestKind.ERASURE:
        erase_subscriber(person.id, now=now, actor=actor)
        db.session.expire_all()
    return request


def refuse(number: int, code: str, text: str, *, now: datetime, actor: str, reply_by: str) -> RightsRequest:
    """Refuse a request with a reason, and write the certificate. Commits.

    Raises UnknownRequest, RequestClosed or ReasonMissing.
    """
    request = register.get_open(number)
    if code not in register.REASONS or not text.strip():
        raise register.ReasonMissing
    request.reason_code, request.reason_text = code, text.strip()[:4000]
    with letters.in_language_of(request):
        letters.send(request, letters.refused(request), now=now, by=reply_by)
    register.close(request, RequestStatus.REFUSED, now=now, actor=actor, reply_by=reply_by)
    db.session.commit()
    return request


def extend(number: int, reason: str, *, now: datetime, actor: str) -> RightsRequest:
    """Take more time and tell the person. Commits."""
    request = register.extend(number, reason, now=now, actor=actor)
    with letters.in_language_of(request):
        letters.send(request, letters.extended(request), now=now, by="mail")
    db.session.commit()
    return request


def lift_restriction(number: int, *, now: datetime, actor: str) -> RightsRequest:
    """Tell the person and then end the restriction that this request brought (GDPR art. 18(3)). Commits."""
    request = register.get_request(number, lock=True)
    person = _person(request)
    if request.kind is not RequestKind.RESTRICTION or person is None or person.restricted_at is None:
        raise register.RequestClosed
    with letters.in_language_of(request):
        letters.send(request, letters.lifting(request), now=now, by="mail")
    db.session.flush()
    person.restricted_at = None
    restore_journal.note_after_commit(_line(person, restore_journal.UNRESTRICTED, now))
    audit.record("restriction lifted", actor=actor, now=now, object=f"subscriber:{person.id}")
    db.session.commit()
    return request


def _person(request: RightsRequest) -> Subscriber | None:
    """Return whose request it is, by the number, else by the address: they may have signed up since."""
    if request.subscriber_id is not None:
        return db.session.get(Subscriber, request.subscriber_id, with_for_update=True)
    return db.session.scalar(
        sa.select(Subscriber).where(Subscriber.address_hash == request.address_hash).with_for_update()
    )


def _answer_nothing(request: RightsRequest, *, now: datetime, actor: str, reply_by: str) -> RightsRequest:
    """Say that nothing is held; an objection is obeyed all the same."""
    if request.kind is RequestKind.OBJECTION and request.address:
        _store_bans(request.address.casefold(), request.scopes, now)
    with letters.in_language_of(request):
        letters.send(request, letters.nothing_held(request), now=now, by=reply_by)
    register.close(request, RequestStatus.NOTHING_HELD, now=now, actor=actor, reply_by=reply_by)
    db.session.commit()
    return request


def _tell(request: RightsRequest, person: Subscriber, righted: Righted, now: datetime) -> list[str]:
    """Tell whoever received the data; of an address that waits for its mailbox, once it has answered."""
    if request.kind not in TOLD_ON or (righted.waiting and not righted.done):
        return []
    return tell_others(request, person, now=now, changes=righted.done)


def _restrict(person: Subscriber, now: datetime) -> None:
    if person.restricted_at is None:
        person.restricted_at = now
        restore_journal.note_with_commit(_line(person, restore_journal.RESTRICTED, now))


def _line(person: Subscriber, act: str, now: datetime) -> Line:
    return Line(now, person.address_hash, act, person.id, person.created_at)


def _ban(person: Subscriber, request: RightsRequest, now: datetime) -> None:
    scopes = request.scopes.split(",")
    if {"direct_marketing", "all_mail"} & set(scopes):
        unsubscribe.leave(person, None, now=now, method="staff", visit=NOBODY)
    if {"research", "all_mail"} & set(scopes):
        choose_tracking(
            person, granted=False, language=request.language, now=now, visit=NOBODY, method="staff"
        )
    _store_bans(person.address_key, request.scopes, now)


def _store_bans(address_key: str, scopes: str, now: datetime) -> None:
    chosen = [scope for scope in scopes.split(",") if scope in register.SCOPES]
    rows = [
        {"address_hash": hash_address(address_key), "scope": scope, "created_at": now} for scope in chosen
    ]
    insert_or_ignore(Ban, *rows)
    for row in rows:
        restore_journal.note_with_commit(
            Line(now, hash_address(address_key), restore_journal.BANNED, told={"scope": row["scope"]})
        )
    if "all_mail" in chosen:
        suppress(address_key, SuppressionReason.BANNED, now)
    elif "direct_marketing" in chosen:
        suppress(address_key, SuppressionReason.OBJECTED, now)
