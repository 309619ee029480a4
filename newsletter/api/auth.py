"""The way into the API: a token, what it may do, how often, and writes that may be repeated."""

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from flask import Response, abort, current_app, g, request
from flask_babel import gettext as _

from newsletter import db as database
from newsletter.api import idempotency
from newsletter.api.problems import problem
from newsletter.clock import utcnow
from newsletter.db import db, execute_dml
from newsletter.durable import counters
from newsletter.errors import N_, NotAllowed
from newsletter.ratelimit import limiter
from newsletter.staff.api_tokens import find_token, was_recently_used
from newsletter.staff.models import ApiToken
from newsletter.subscribers.lists import UnknownList


class ScopeMissing(NotAllowed):
    """The token may call this, and not ask that of it."""

    message = N_("This token was not made for that.")


View = TypeVar("View", bound=Callable[..., Any])

PER_TOKEN = "600/minute"  # noqa: S105 - a rate
PER_STRANGER = "60/minute"
_MARK = "api_scope"


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
    kind, _space, given = request.headers.get("Authorization", "").partition(" ")
    secret = given.strip()
    token = find_token(secret, now=now) if kind.lower() == "bearer" else None
    if token is None:
        return _stranger()
    if (refused := _count(token)) is not None:
        return refused
    scope = scope_of(current_app.view_functions[request.endpoint or ""])
    if scope not in token.scopes:
        return problem(403, _("This token was not made for that."), code="scope_missing")
    g.api_token = token
    _note_use(token, now)
    # A look is no write, whatever its method: each is made, and each is in the audit log.
    is_write = request.method == "POST" and not scope.endswith(":read")
    return idempotency.begin(token, secret, now) if is_write else None


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


def require_whole() -> None:
    """Refuse a token for some lists where a call is about all of them."""
    if api_token().lists is not None:
        abort(403)


def leave(response: Response) -> Response:
    """Write down the answer of a write that may be repeated, and say what is left of the rate."""
    idempotency.finish(response)
    for name, value in g.pop("rate", {}).items():
        response.headers[name] = str(value)
    if request.method in {"GET", "HEAD"} and response.status_code == 200:  # noqa: PLR2004
        response.add_etag()
        response.make_conditional(request)
    return response


def _stranger() -> Response:
    limiter.enforce(PER_STRANGER, "api", limiter.client_key())
    response = problem(401, _("Send a token: Authorization: Bearer …"))
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _count(token: ApiToken) -> Response | None:
    (rule,) = limiter.parse_rule(PER_TOKEN)
    used = limiter.increment(rule, "token", str(token.id))
    left = max(0, int(limiter.reset_time(rule, "token", str(token.id)) - time.time()))
    g.rate = {
        "RateLimit-Limit": rule.amount,
        "RateLimit-Remaining": max(0, rule.amount - used),
        "RateLimit-Reset": left,
    }
    if used <= rule.amount:
        return None
    counters.increment("limit token")
    g.rate["Retry-After"] = left + 1
    return problem(429, _("Too many attempts. Wait a moment and try again."))


def _note_use(token: ApiToken, now: datetime) -> None:
    if was_recently_used(token, now=now):
        return
    is_reading = request.method in {"GET", "HEAD"}
    database.restart_for_writing()
    execute_dml(sa.update(ApiToken).where(ApiToken.id == token.id).values(last_used_at=now))
    db.session.commit()
    if is_reading:
        database.use_read_transactions()
