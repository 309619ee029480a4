"""``/api/v1/requests``: rights requests of data subjects (GDPR Art. 15 to 21).

Another system can enter requests that reached it and follow their status. Fulfilling or refusing one is
left to staff.
"""

from typing import Any

import sqlalchemy as sa

from newsletter.api.auth import actor, needs_scope, require_all_lists
from newsletter.api.resource import documents_problems, make_resource
from newsletter.api.schemas import MAX_ID, RequestIn, RequestOut, RequestsIn, RequestsOut
from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.ledger import audit
from newsletter.privacy.models import RequestKind, RequestStatus, RightsRequest
from newsletter.privacy.requests import register
from newsletter.web.app import write_transaction

bp = make_resource("requests", "What people ask about their data: access, erasure and the like.")


@bp.get("/requests")
@needs_scope("requests:read")
@documents_problems(bp, 422)
@bp.arguments(RequestsIn, location="query")
@bp.response(200, RequestsOut)
@write_transaction
def show_requests(asked: dict[str, Any]) -> dict[str, Any]:
    """Show requests, oldest first, all or those of one status."""
    require_all_lists()
    found = sa.select(RightsRequest).where(RightsRequest.id > asked.get("after", 0))
    if "status" in asked:
        found = found.where(RightsRequest.status == RequestStatus(asked["status"]))
    rows = db.session.scalars(found.order_by(RightsRequest.id).limit(asked["limit"] + 1)).all()
    shown = rows[: asked["limit"]]
    audit.record("requests listed", actor=actor(), now=utcnow(), count=len(shown))
    db.session.commit()
    return {
        "items": [_as_data(row) for row in shown],
        "next": shown[-1].id if len(rows) > len(shown) else None,
    }


@bp.post("/requests")
@needs_scope("requests:write")
@documents_problems(bp, 400, 409, 413, 415, 422)
@bp.arguments(RequestIn)
@bp.response(201, RequestOut)
def enter_request(sent: dict[str, Any]) -> dict[str, Any]:
    """Enter a request that reached another system. Its due date begins now."""
    require_all_lists()
    made = register.record_request(
        RequestKind(sent["kind"]),
        sent["address"],
        channel=sent["channel"],
        language=sent["language"] or current_settings().languages[0],
        details=sent["details"],
        scopes=sent["scopes"],
        now=utcnow(),
        actor=actor(),
    )
    db.session.commit()
    return _as_data(made)


@bp.get("/requests/<int:number>")
@needs_scope("requests:read")
@documents_problems(bp, 404)
@bp.response(200, RequestOut)
@write_transaction
def show_request(number: int) -> dict[str, Any]:
    """Show one request and what became of it."""
    require_all_lists()
    if number > MAX_ID:
        raise register.UnknownRequest
    found = register.get_request(number)
    audit.record("request read", actor=actor(), now=utcnow(), object=f"request:{number}")
    db.session.commit()
    return _as_data(found)


def _as_data(found: RightsRequest) -> dict[str, Any]:
    return {
        "id": found.id,
        "kind": found.kind.value,
        "status": found.status.value,
        "address": found.address,
        "details": found.details,
        "scopes": [scope for scope in found.scopes.split(",") if scope],
        "channel": found.channel,
        "language": found.language,
        "received_at": found.received_at,
        "due_on": found.due_on,
        "extended_at": found.extended_at,
        "decided_at": found.decided_at,
    }
