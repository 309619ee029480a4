"""Authentication of API requests: token, scope, rate limit, and idempotency of writes."""

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
    """The token may call this endpoint, but lacks the scope for that part of it."""

    message = N_("This token was not made for that.")


View = TypeVar("View", bound=Callable[..., Any])

TOKEN_RATE_LIMIT = "600/minute"  # noqa: S105 - a rate
ANONYMOUS_RATE_LIMIT = "60/minute"
_SCOPE_ATTRIBUTE = "api_scope"


def needs_scope(scope: str) -> Callable[[View], View]:
    """Require a scope for an endpoint. An endpoint without one is closed to all tokens."""

    def mark(view: View) -> View:
        setattr(view, _SCOPE_ATTRIBUTE, scope)
        return view

    return mark


def required_scope(view: Callable[..., Any]) -> str | None:
    """Return the scope an endpoint requires."""
    found: str | None = getattr(view, _SCOPE_ATTRIBUTE, None)
    return found


def authenticate() -> Response | None:
    """Authenticate and authorize a request before anything else is read; None lets it through."""
    now = utcnow()
    kind, _space, given = request.headers.get("Authorization", "").partition(" ")
    secret = given.strip()
    token = find_token(secret, now=now) if kind.lower() == "bearer" else None
    if token is None:
        return _unauthorized()
    if (refused := _enforce_rate_limit(token)) is not None:
        return refused
    scope = required_scope(current_app.view_functions[request.endpoint or ""])
    if scope not in token.scopes:
        return problem(403, _("This token was not made for that."), code="scope_missing")
    g.api_token = token
    _record_use(token, now)
    # A POST that only reads is not replayed: each has its audit entry.
    is_write = request.method == "POST" and not scope.endswith(":read")
    return idempotency.begin(token, secret, now) if is_write else None


def current_token() -> ApiToken:
    """Return the token of this request."""
    found: ApiToken = g.api_token
    return found


def actor() -> str:
    """Return the actor of the audit log for this token."""
    return f"token:{current_token().id}"


def require_scope(scope: str) -> None:
    """Raise ScopeMissing when the token lacks an additional scope."""
    if scope not in current_token().scopes:
        raise ScopeMissing


def require_lists(slugs: Iterable[str]) -> None:
    """Raise UnknownList for a list that the token may not access: to it, the list does not exist."""
    allowed = current_token().lists
    for slug in slugs:
        if allowed is not None and slug not in allowed:
            raise UnknownList(slug=slug[:60])


def require_all_lists() -> None:
    """Abort with 403 for a token limited to some lists."""
    if current_token().lists is not None:
        abort(403)


def finish_response(response: Response) -> Response:
    """Store the response of an idempotent write, and add the headers of rate limit and ETag."""
    idempotency.finish(response)
    for name, value in g.pop("rate", {}).items():
        response.headers[name] = str(value)
    if request.method in {"GET", "HEAD"} and response.status_code == 200:  # noqa: PLR2004
        response.add_etag()
        response.make_conditional(request)
    return response


def _unauthorized() -> Response:
    limiter.enforce(ANONYMOUS_RATE_LIMIT, "api", limiter.client_key())
    response = problem(401, _("Send a token: Authorization: Bearer …"))
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _enforce_rate_limit(token: ApiToken) -> Response | None:
    (rule,) = limiter.parse_rule(TOKEN_RATE_LIMIT)
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


def _record_use(token: ApiToken, now: datetime) -> None:
    if was_recently_used(token, now=now):
        return
    is_reading = request.method in {"GET", "HEAD"}
    database.restart_for_writing()
    execute_dml(sa.update(ApiToken).where(ApiToken.id == token.id).values(last_used_at=now))
    db.session.commit()
    if is_reading:
        database.use_read_transactions()
