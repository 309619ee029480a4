"""Export and erasure of what the register of requests itself holds on a person."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from newsletter.db import db, execute_dml
from newsletter.db.batching import People
from newsletter.db.id_bitmap import in_people
from newsletter.privacy.models import (
    Disclosure,
    Hold,
    NotificationTask,
    Objection,
    RequestKind,
    RightsRequest,
    Statement,
)
from newsletter.subscribers.models import Subscriber


def export(subscriber: Subscriber) -> dict[str, Any]:
    """Return the requests of a person, what was disclosed, their holds and objections."""
    requests = db.session.scalars(
        sa.select(RightsRequest)
        .where(RightsRequest.subscriber_id == subscriber.id)
        .order_by(RightsRequest.id)
    )
    bans = (
        sa.select(Objection.scope)
        .where(Objection.address_hash == subscriber.address_hash)
        .order_by(Objection.scope)
    )
    return {
        "requests": [_request_data(request) for request in requests],
        "disclosures": [
            {
                "at": row.at.isoformat(),
                "recipient": row.recipient,
                "what": row.what,
                "why": row.why,
                "ground": row.ground,
            }
            for row in _rows(Disclosure, subscriber)
        ],
        "holds": [
            {
                "created_at": row.created_at.isoformat(),
                "reason": row.reason_code,
                "text": row.text,
                "ended_at": row.ended_at.isoformat() if row.ended_at else None,
            }
            for row in _rows(Hold, subscriber)
        ],
        "statements": [
            {"created_at": said.created_at.isoformat(), "text": said.text}
            for said in _rows(Statement, subscriber)
        ],
        "told": [_notification_data(task) for task in _notification_tasks(subscriber)],
        "bans": [{"scope": scope} for scope in db.session.scalars(bans)],
    }


def erase(people: People) -> None:
    """Blank personal data in these people's requests; the rows stay, under the address hash."""
    _blank_notification_letters(people)
    execute_dml(
        sa.update(RightsRequest)
        .where(in_people(RightsRequest.subscriber_id, people))
        .values(
            address=None,
            details=None,
            reply=None,
            reason_text=None,
            extension_reason=None,
            subscriber_id=None,
        )
    )
    for table in (Disclosure, Hold, Statement):
        execute_dml(sa.delete(table).where(in_people(table.subscriber_id, people)))


def _blank_notification_letters(people: People) -> None:
    """Blank the letters to recipients, except those that ask them to erase the person too."""
    requests = sa.select(RightsRequest.id).where(
        in_people(RightsRequest.subscriber_id, people), RightsRequest.kind != RequestKind.ERASURE
    )
    execute_dml(
        sa.update(NotificationTask).where(NotificationTask.request_id.in_(requests)).values(letter=None)
    )


def _notification_tasks(subscriber: Subscriber) -> Sequence[NotificationTask]:
    return db.session.scalars(
        sa.select(NotificationTask)
        .join(RightsRequest, RightsRequest.id == NotificationTask.request_id)
        .where(RightsRequest.subscriber_id == subscriber.id)
        .order_by(NotificationTask.id)
    ).all()


def _notification_data(task: NotificationTask) -> dict[str, Any]:
    return {
        "recipient": task.recipient,
        "request": task.request_id,
        "asked_at": task.created_at.isoformat(),
        "done_at": task.done_at.isoformat() if task.done_at else None,
        "letter": task.letter,
    }


def _request_data(request: RightsRequest) -> dict[str, Any]:
    return {
        "number": request.id,
        "kind": request.kind.value,
        "status": request.status.value,
        "received_at": request.received_at.isoformat(),
        "channel": request.channel,
        "address": request.address,
        "details": request.details,
        "decided_at": request.decided_at.isoformat() if request.decided_at else None,
        "reason": request.reason_code,
        "reason_text": request.reason_text,
        "extension_reason": request.extension_reason,
        "reply": request.reply,
        "address_confirmed_at": request.address_confirmed_at.isoformat()
        if request.address_confirmed_at
        else None,
    }


def _rows(table: type[Any], subscriber: Subscriber) -> Sequence[Any]:
    return db.session.scalars(
        sa.select(table).where(table.subscriber_id == subscriber.id).order_by(table.id)
    ).all()
