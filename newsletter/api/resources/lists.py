"""``/api/v1/lists``."""

from typing import Any

from newsletter.api.auth import actor, current_token, needs_scope, require_all_lists, require_lists
from newsletter.api.resource import documents_problems, make_resource
from newsletter.api.schemas import ListIn, ListOut, ListsOut
from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.subscribers.lists import all_lists, create_list, get_lists
from newsletter.subscribers.models import MailingList

bp = make_resource("lists", "Newsletters, each in one language.")


@bp.get("/lists")
@needs_scope("lists:read")
@documents_problems(bp)
@bp.response(200, ListsOut)
def show_lists() -> dict[str, list[MailingList]]:
    """Show all lists."""
    allowed = current_token().lists
    return {"items": [row for row in all_lists() if allowed is None or row.slug in allowed]}


@bp.get("/lists/<slug>")
@needs_scope("lists:read")
@documents_problems(bp, 404)
@bp.response(200, ListOut)
def show_list(slug: str) -> MailingList:
    """Show one list."""
    require_lists([slug])
    return get_lists([slug])[0]


@bp.post("/lists")
@needs_scope("lists:write")
@documents_problems(bp, 400, 409, 413, 415, 422)
@bp.arguments(ListIn)
@bp.response(201, ListOut)
def make_list(sent: dict[str, Any]) -> MailingList:
    """Make a list."""
    require_all_lists()
    made = create_list(**sent, now=utcnow(), actor=actor())
    db.session.commit()
    return made
