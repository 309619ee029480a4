"""``/api/v1/suppressions``: suppressed addresses, kept as hashes only."""

from typing import Any

from newsletter.api.auth import actor, needs_scope, require_all_lists
from newsletter.api.resource import documents_problems, make_resource
from newsletter.api.schemas import AddressIn, SuppressionOut
from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.ledger import audit
from newsletter.subscribers.addresses import parse_address
from newsletter.subscribers.models import SuppressionReason
from newsletter.subscribers.suppressions import find_suppression, suppress

bp = make_resource("suppressions", "Addresses that must not be written to again.")


@bp.post("/suppressions/search")
@needs_scope("suppressions:read")
@documents_problems(bp, 400, 413, 415, 422)
@bp.arguments(AddressIn)
@bp.response(200, SuppressionOut)
def find(sent: dict[str, Any]) -> dict[str, Any]:
    """Ask whether an address may be written to."""
    return _status_of(_read_address_key(sent))


@bp.post("/suppressions")
@needs_scope("suppressions:write")
@documents_problems(bp, 400, 409, 413, 415, 422)
@bp.arguments(AddressIn)
@bp.response(200, SuppressionOut)
def ban(sent: dict[str, Any]) -> dict[str, Any]:
    """Ban an address at its owner's wish: no mail at all, until staff lift it. Done twice it is done once."""
    key, now = _read_address_key(sent), utcnow()
    suppress(key, SuppressionReason.BANNED, now)
    audit.record("address banned", actor=actor(), now=now)
    db.session.commit()
    return _status_of(key)


def _read_address_key(sent: dict[str, Any]) -> str:
    require_all_lists()
    return parse_address(sent["address"]).key


def _status_of(key: str) -> dict[str, Any]:
    found = find_suppression(key)
    return {
        "is_suppressed": found is not None,
        "reason": found.reason.value if found else None,
        "created_at": found.created_at if found else None,
    }
