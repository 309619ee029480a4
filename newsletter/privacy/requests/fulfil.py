"""Fulfilling, refusing and extending rights requests (GDPR art. 12, 15 to 21). Each function commits."""

from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.config import current_settings
from newsletter.db import db, insert_or_ignore
from newsletter.durable import restore_journal
from newsletter.durable.restore_journal import JournalEntry
from newsletter.ledger import audit
from newsletter.privacy.deadlines import end_of_year_after, local_day
from newsletter.privacy.everyone import is_on_hold
from newsletter.privacy.export.collect import build_data_export
from newsletter.privacy.models import Objection, RequestKind, RequestStatus, RightsRequest
from newsletter.privacy.requests import letters, register
from newsletter.privacy.requests.recipients import NOTIFIED_KINDS, notify_recipients
from newsletter.privacy.requests.rectification import Corrections, RectificationResult, rectify
from newsletter.privacy.requests.remains import find_remains, forget_asker
from newsletter.privacy.retention.erasure import PersonOnHold, erase_subscriber
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.consent.tracking import choose_tracking
from newsletter.subscribers.models import Consent, ConsentKind, Subscriber, SuppressionReason
from newsletter.subscribers.objections import ENDS_SUBSCRIPTIONS
from newsletter.subscribers.self_service import unsubscribe
from newsletter.subscribers.suppressions import suppress
from newsletter.web.i18n import translate

NO_VISIT = Visit(ip="")


def fulfil_request(
    number: int, *, now: datetime, actor: str, reply_by: str, corrections: Corrections | None = None
) -> RightsRequest:
    """Do what a request asks for and send the reply. Commits.

    Raises UnknownRequest, RequestClosed, PersonOnHold, and what ``rectify`` raises.
    """
    request = register.get_open_request(number)
    person = _find_subscriber(request)
    if person is None:
        return _reply_to_nobody(request, now=now, actor=actor, reply_by=reply_by)
    if request.kind is RequestKind.ERASURE and is_on_hold(person.id):
        raise PersonOnHold
    result = RectificationResult()
    if request.kind is RequestKind.RECTIFICATION:
        result = rectify(person, corrections or Corrections(), now=now, actor=actor)
        request.address_link_id = result.link.id if result.link else None
    elif request.kind is RequestKind.RESTRICTION:
        _apply_restriction(person, now)
    elif request.kind is RequestKind.OBJECTION:
        _apply_objection(person, request, now)
    told = _notify_recipients(request, person, result, now)
    wants_copy = request.kind in {RequestKind.ACCESS, RequestKind.PORTABILITY}
    with letters.request_language(request):
        data = build_data_export(person, now) if wants_copy else None
        said = [translate(*change) for change in (*result.done, *result.waiting)]
        kept = _kept_after_erasure(person, now) if request.kind is RequestKind.ERASURE else []
        letters.send_reply(
            request, letters.compose_fulfilled(request, data, said, told, kept), now=now, by=reply_by
        )
    audit.record(f"{request.kind.value} carried out", actor=actor, now=now, object=f"subscriber:{person.id}")
    register.close_request(request, RequestStatus.DONE, now=now, actor=actor, reply_by=reply_by)
    db.session.commit()
    if request.kind is RequestKind.ERASURE:
        erase_subscriber(person.id, now=now, actor=actor)
        db.session.expire_all()
    return request


def refuse(number: int, code: str, text: str, *, now: datetime, actor: str, reply_by: str) -> RightsRequest:
    """Refuse a request with a reason, and send the certificate of refusal. Commits.

    Raises UnknownRequest, RequestClosed or ReasonMissing.
    """
    request = register.get_open_request(number)
    if code not in register.REFUSAL_REASONS or not text.strip():
        raise register.ReasonMissing
    request.reason_code, request.reason_text = code, text.strip()[:4000]
    with letters.request_language(request):
        letters.send_reply(request, letters.compose_refusal(request), now=now, by=reply_by)
    register.close_request(request, RequestStatus.REFUSED, now=now, actor=actor, reply_by=reply_by)
    if _find_subscriber(request) is None:
        forget_asker(request, now)
    db.session.commit()
    return request


def extend(number: int, reason: str, *, now: datetime, actor: str) -> RightsRequest:
    """Extend the deadline and notify the person (GDPR art. 12(3)). Commits."""
    request = register.extend_deadline(number, reason, now=now, actor=actor)
    with letters.request_language(request):
        letters.send_reply(request, letters.compose_extension(request), now=now, by="mail")
    db.session.commit()
    return request


def lift_restriction(number: int, *, now: datetime, actor: str) -> RightsRequest:
    """Notify the person, then lift the restriction that this request set (GDPR art. 18(3)). Commits."""
    request = register.get_request(number, lock=True)
    person = _find_subscriber(request)
    if request.kind is not RequestKind.RESTRICTION or person is None or person.restricted_at is None:
        raise register.RequestClosed
    with letters.request_language(request):
        letters.send_reply(request, letters.compose_restriction_lifted(request), now=now, by="mail")
    db.session.flush()
    person.restricted_at = None
    restore_journal.append_after_commit(_journal_entry(person, restore_journal.UNRESTRICTED, now))
    audit.record("restriction lifted", actor=actor, now=now, object=f"subscriber:{person.id}")
    db.session.commit()
    return request


def _find_subscriber(request: RightsRequest) -> Subscriber | None:
    """Return the subscriber of a request, locked: by id, else by address (they may be new)."""
    if request.subscriber_id is not None:
        return db.session.get(Subscriber, request.subscriber_id, with_for_update=True)
    return db.session.scalar(
        sa.select(Subscriber).where(Subscriber.address_hash == request.address_hash).with_for_update()
    )


def _reply_to_nobody(request: RightsRequest, *, now: datetime, actor: str, reply_by: str) -> RightsRequest:
    """Reply what is kept of somebody who is not here, or that nothing is; an objection is carried out.

    What identifies them goes from the register with the answer.
    """
    if request.kind is RequestKind.OBJECTION and request.address:
        _store_objections(request.address.casefold(), request.scopes, now)
    remains = find_remains(request.address_hash)
    with letters.request_language(request):
        reply = letters.compose_nobody_here(request, remains.in_words(now))
        letters.send_reply(request, reply, now=now, by=reply_by)
    status = RequestStatus.DONE if remains else RequestStatus.NOTHING_HELD
    register.close_request(request, status, now=now, actor=actor, reply_by=reply_by)
    forget_asker(request, now)
    db.session.commit()
    return request


def _kept_after_erasure(person: Subscriber, now: datetime) -> list[str]:
    """Return in words what the erasure that follows will leave under the hash."""
    remains = find_remains(person.address_hash)
    proven = sa.select(Consent.id).where(
        Consent.subscriber_id == person.id, Consent.kind != ConsentKind.ASKED
    )
    if db.session.scalar(proven.limit(1)) is not None:
        last = end_of_year_after(now, current_settings().keep_proof_years) - timedelta(days=1)
        remains = replace(remains, proof_until=local_day(last))
    return remains.in_words(now)


def _notify_recipients(
    request: RightsRequest, person: Subscriber, result: RectificationResult, now: datetime
) -> list[str]:
    """Notify recipients of the data; of a new address only once its mailbox has confirmed it."""
    if request.kind not in NOTIFIED_KINDS or (result.waiting and not result.done):
        return []
    return notify_recipients(request, person, now=now, changes=result.done)


def _apply_restriction(person: Subscriber, now: datetime) -> None:
    if person.restricted_at is None:
        person.restricted_at = now
        restore_journal.append_before_commit(_journal_entry(person, restore_journal.RESTRICTED, now))


def _journal_entry(person: Subscriber, act: str, now: datetime) -> JournalEntry:
    return JournalEntry(now, person.address_hash, act, person.id, person.created_at)


def _apply_objection(person: Subscriber, request: RightsRequest, now: datetime) -> None:
    scopes = request.scopes.split(",")
    if ENDS_SUBSCRIPTIONS & set(scopes):
        unsubscribe.unsubscribe_from(person, None, now=now, method="staff", visit=NO_VISIT)
    if {"research", "all_mail"} & set(scopes):
        choose_tracking(
            person, granted=False, language=request.language, now=now, visit=NO_VISIT, method="staff"
        )
    _store_objections(person.address_key, request.scopes, now)


def _store_objections(address_key: str, scopes: str, now: datetime) -> None:
    chosen = [scope for scope in scopes.split(",") if scope in register.SCOPE_LABELS]
    rows = [
        {"address_hash": hash_address(address_key), "scope": scope, "created_at": now} for scope in chosen
    ]
    insert_or_ignore(Objection, *rows)
    for row in rows:
        restore_journal.append_before_commit(
            JournalEntry(now, hash_address(address_key), restore_journal.BANNED, told={"scope": row["scope"]})
        )
    if "all_mail" in chosen:
        suppress(address_key, SuppressionReason.BANNED, now)
    elif ENDS_SUBSCRIPTIONS & set(chosen):
        suppress(address_key, SuppressionReason.OBJECTED, now)
