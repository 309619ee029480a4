"""The way into the API: a token, what it may do, how often, and writes that may be repeated."""

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa
from flask import Response, current_app, g, request
from flask_babel import gettext as _

from newsletter import db as database
from newsletter import limits, tallies
from newsletter.api.models import IdempotentRequest
from newsletter.api.problems import problem
from newsletter.clock import utcnow
from newsletter.db import change, db, insert_or_ignore
from newsletter.errors import N_, NotAllowed
from newsletter.staff.api_tokens import find_token, was_just_used
from newsletter.staff.models import ApiToken
from newsletter.subscribers.lists import UnknownList
from newsletter.tokens import hash_secret


class ScopeMissing(NotAllowed):
    """The token may call this, and not ask that of it."""

    message = N_("This token was not made for that.")


View = TypeVar("View", bound=Callable[..., Any])

PER_TOKEN = "600/minute"  # noqa: S105 - a rate
PER_STRANGER = "60/minute"
REMEMBERED = timedelta(hours=24)
_MARK = "api_scope"
_LONGEST_KEY = 200


def needs_scope(scope: str) -> Callable[[View], View]:
    """Let only tokens of a scope in. An endpoint that names none is closed to all."""

    def mark(view: View) -> View:
        setattr(view, _MARK, scope)
        return view

    return mark


def scope_of(view: Callable[..., Any]) -> str | None:
    """Return the scope an endpoint asks for."""
    found: str | None = getattr(view, _MARK, None)
    return found


def enter() -> Response | None:
    """Check the token of a request before anything else is looked at."""
    now = utcnow()
    kind, _space, secret = request.headers.get("Authorization", "").partition(" ")
    token = find_token(secret.strip(), now=now) if kind.lower() == "bearer" else None
    if token is None:
        return _stranger()
    view = current_app.view_functions[request.endpoint or ""]
    if scope_of(view) not in token.scopes:
        return problem(403, _("This token was not made for that."), code="scope_missing")
    g.api_token = token
    refused = _count(token)
    _note_use(token, now)
    return refused or (_repeat(token, now) if request.method == "POST" else None)


def api_token() -> ApiToken:
    """Return the token of this request."""
    found: ApiToken = g.api_token
    return found


def actor() -> str:
    """Name the token as the audit log does."""
    return f"token:{api_token().id}"


def require_scope(scope: str) -> None:
    """Raise ScopeMissing where part of a call takes one more scope, and the token lacks it."""
    if scope not in api_token().scopes:
        raise ScopeMissing


def require_lists(slugs: Iterable[str]) -> None:
    """Raise UnknownList for a list that the token may not touch: to it, there is none."""
    allowed = api_token().lists
    for slug in slugs:
        if allowed is not None and slug not in allowed:
            raise UnknownList(slug=slug[:60])


def leave(response: Response) -> Response:
    """Write down the answer of a write that may be repeated, and say what is left of the rate."""
    if (kept := g.pop("idempotent", None)) is not None and response.status_code < 500:  # noqa: PLR2004
        mine = sa.update(IdempotentRequest).where(
            IdempotentRequest.token_id == kept[0], IdempotentRequest.key == kept[1]
        )
        db.session.rollback()  # of a refusal nothing stays, and the key may be used again
        change(mine.values(status=response.status_code, body=response.get_data(as_text=True)))
        db.session.commit()
    for name, value in g.pop("rate", {}).items():
        response.headers[name] = str(value)
    if request.method == "GET" and response.status_code == 200:  # noqa: PLR2004
        response.add_etag()
        response.make_conditional(request)
    return response


def forget_old(now: datetime) -> int:
    """Forget writes that nobody will repeat any more, and return how many."""
    return change(sa.delete(IdempotentRequest).where(IdempotentRequest.created_at < now - REMEMBERED))


def _stranger() -> Response:
    if not limits.take(PER_STRANGER, "api", limits.visitor()):
        return problem(429, _("Too many attempts. Wait a moment and try again."))
    response = problem(401, _("Send a token: Authorization: Bearer …"))
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _count(token: ApiToken) -> Response | None:
    (rule,) = limits.items_of(PER_TOKEN)
    used = limits.add(rule, "token", str(token.id))
    left = max(0, int(limits.end_of(rule, "token", str(token.id)) - time.time()))
    g.rate = {
        "RateLimit-Limit": rule.amount,
        "RateLimit-Remaining": max(0, rule.amount - used),
        "RateLimit-Reset": left,
    }
    if used <= rule.amount:
        return None
    tallies.count("limit token")
    g.rate["Retry-After"] = left + 1
    return problem(429, _("Too many attempts. Wait a moment and try again."))


def _note_use(token: ApiToken, now: datetime) -> None:
    if was_just_used(token, now=now):
        return
    is_reading = request.method in {"GET", "HEAD"}
    database.begin_writing()
    change(sa.update(ApiToken).where(ApiToken.id == token.id).values(last_used_at=now))
    db.session.commit()
    if is_reading:
        database.begin_reading()


def _repeat(token: ApiToken, now: datetime) -> Response | None:
    """Answer a repeated write as it was answered before; let a new one through under its key."""
    key = request.headers.get("Idempotency-Key", "")
    if not key:
        return None
    if len(key) > _LONGEST_KEY or not key.isprintable():
        words = _("An idempotency key has at most 200 characters.")
        return problem(400, words, code="idempotency_key_invalid")
    asked = f"{request.method} {request.full_path}\n".encode() + request.get_data()
    row = {"token_id": token.id, "key": key, "fingerprint": hash_secret(asked), "created_at": now}
    if insert_or_ignore(IdempotentRequest, row):
        g.idempotent = (token.id, key)
        return None
    before = db.session.get(IdempotentRequest, (token.id, key), populate_existing=True)
    if before is None or before.status is None:
        words = _("The first request with this key is not finished.")
        return problem(409, words, code="idempotency_key_in_use")
    if before.fingerprint != row["fingerprint"]:
        return problem(422, _("This key was used for another request."), code="idempotency_key_reused")
    response = Response(before.body or "", before.status, content_type="application/json")
    response.headers["Idempotent-Replayed"] = "true"
    return response
