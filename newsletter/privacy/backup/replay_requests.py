"""Replay of the restore journal for rights requests, staff accounts and API tokens.

A journal entry has of a request what its deadline needs: number, kind, dates, status, and the keyed hash of
the address. The text of the request and of the reply are lost with the database.
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from newsletter.config import current_settings
from newsletter.db import db, is_sqlite
from newsletter.durable import restore_journal
from newsletter.durable.restore_journal import JournalEntry
from newsletter.errors import N_
from newsletter.privacy.models import RequestKind, RequestStatus, RightsRequest
from newsletter.staff import personal_data
from newsletter.staff.auth import sessions
from newsletter.staff.models import ApiToken, Staff
from newsletter.subscribers.models import Subscriber
from newsletter.web.i18n import force_language, translate

_RESTORED_DETAILS = N_(
    "Entered again after a restore. What it said was lost with the database: look into the mailbox of the"
    " privacy contact, or ask the person."
)
_RESET_SEQUENCE = sa.text(
    "SELECT setval(pg_get_serial_sequence('rights_requests', 'id'), (SELECT max(id) FROM rights_requests))"
)


def restore_requests(lines: Iterable[JournalEntry]) -> int:
    """Add missing requests, and close or extend those that are there; return how many changed.

    Commits.
    """
    last = {
        (line.told["number"], line.told["received"]): line
        for line in lines
        if line.act == restore_journal.REQUESTED
    }
    changed = sum(_restore_request(line) for line in last.values())
    db.session.flush()
    if changed and not is_sqlite():
        db.session.execute(_RESET_SEQUENCE)  # the next request must not meet one of these
    db.session.commit()
    return changed


def revoke_access(lines: Iterable[JournalEntry], now: datetime) -> int:
    """Close accounts and revoke tokens that were closed or revoked since; return how many. Commits."""
    acts = {
        restore_journal.ACCOUNT_CLOSED,
        restore_journal.ACCOUNT_CLEARED,
        restore_journal.ACCOUNT_OPENED,
        restore_journal.TOKEN_REVOKED,
    }
    last = {(line.hash, line.since): line for line in lines if line.act in acts}
    ended = sum(_revoke_one(line, now) for line in last.values())
    db.session.commit()
    return ended


def _restore_request(line: JournalEntry) -> bool:
    told = line.told
    found = db.session.get(RightsRequest, told["number"])
    if found is None or found.received_at.isoformat() != told["received"]:
        db.session.add(_build_request(line, number=told["number"] if found is None else None))
        return True
    if found.status is not RequestStatus.OPEN:
        return False
    state = _request_state(told)
    if state["status"] is found.status and state["due_on"] == found.due_on:
        return False
    for name, value in state.items():
        setattr(found, name, value)
    return True


def _build_request(line: JournalEntry, *, number: int | None) -> RightsRequest:
    told = line.told
    person = db.session.scalar(sa.select(Subscriber).where(Subscriber.address_hash == line.hash))
    is_open = told["status"] == RequestStatus.OPEN.value
    with force_language(current_settings().languages[0]):
        words = translate(_RESTORED_DETAILS)
    return RightsRequest(
        id=number,
        kind=RequestKind(told["kind"]),
        subscriber_id=person.id if person else None,
        address=person.address if person else None,
        address_hash=line.hash,
        details=words if is_open or person else None,
        scopes=told["scopes"],
        channel=told["channel"],
        language=told["language"],
        received_at=datetime.fromisoformat(told["received"]),
        identified_at=datetime.fromisoformat(told["identified"]),
        identified_by=told["identified_by"],
        **_request_state(told),
    )


def _request_state(told: dict[str, Any]) -> dict[str, Any]:
    return {
        "status": RequestStatus(told["status"]),
        "due_on": date.fromisoformat(told["due"]),
        "extended_at": _parse_time(told["extended"]),
        "decided_at": _parse_time(told["decided"]),
        "handler": told["handler"],
        "reason_code": told["reason"],
        "reply_by": told["reply_by"],
    }


def _revoke_one(line: JournalEntry, now: datetime) -> bool:
    if line.act == restore_journal.TOKEN_REVOKED:
        token = db.session.get(ApiToken, line.id)
        if token is None or token.created_at != line.since or token.revoked_at is not None:
            return False
        token.revoked_at = line.at
        return True
    account = db.session.get(Staff, line.id)
    if account is None or account.created_at != line.since or line.act == restore_journal.ACCOUNT_OPENED:
        return False
    was_open, was_cleared = account.active, account.cleared_at is not None
    if was_open:
        account.active, account.closed_at = False, line.at
        sessions.end_sessions(account, now=now)
    if line.act == restore_journal.ACCOUNT_CLEARED:
        personal_data.erase(account, now=now, actor="system")
    return was_open or was_cleared != (account.cleared_at is not None)


def _parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
