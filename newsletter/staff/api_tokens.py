"""API tokens: which scopes each has, for which lists, and until when."""

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.db import db
from newsletter.durable import restore_journal
from newsletter.durable.restore_journal import JournalEntry
from newsletter.errors import N_, NewsletterError, NotFound
from newsletter.ledger import audit
from newsletter.staff.models import ApiToken
from newsletter.web.signed_tokens import hash_secret

#: What a token may be made for.
SCOPES = {
    "lists:read": "See lists.",
    "lists:write": "Make lists.",
    "subscribers:read": "See people, their subscriptions and the proof of their consent.",
    "subscribers:write": "End subscriptions.",
    "campaigns:read": "See campaigns and previews.",
    "campaigns:write": "Write campaigns.",
    "campaigns:send": "Send campaigns.",
    "campaigns:override": "Send them although mail may not arrive: what else only an administrator decides.",
    "figures:read": "See the figures of campaigns.",
    "suppressions:read": "Ask whether an address may be written to.",
    "suppressions:write": "Ban an address.",
    "requests:read": "See what people ask about their data.",
    "requests:write": "Enter a request about a person's data.",
    "metrics:read": "Read /metrics from elsewhere than this machine.",
}
API_KEY_PREFIX = "nl_"
MAX_LIFETIME = timedelta(days=731)
#: So that not every call is a write.
LAST_USED_INTERVAL = timedelta(minutes=1)


class TokenInvalid(NewsletterError):
    """A token needs a name, a known scope and an end."""

    message = N_("A token needs a name, at least one known scope, and at most 731 days.")


class UnknownToken(NotFound):
    """There is no such token."""

    message = N_("There is no token number %(id)s.")


def create_token(
    *,
    name: str,
    scopes: Iterable[str],
    now: datetime,
    days: int,
    actor: str,
    lists: Sequence[str] | None = None,
) -> tuple[ApiToken, str]:
    """Make a token and return it with its secret, which is kept nowhere. Raises TokenInvalid."""
    name, chosen = " ".join(name.split())[:100], sorted(set(scopes))
    life = timedelta(days=days)
    if not name or not chosen or set(chosen) - set(SCOPES) or not timedelta() < life <= MAX_LIFETIME:
        raise TokenInvalid
    secret = API_KEY_PREFIX + secrets.token_urlsafe(32)
    made = ApiToken(
        name=name,
        token_hash=hash_secret(secret.encode()),
        prefix=secret[:8],
        scopes=chosen,
        lists=sorted(set(lists)) if lists else None,
        made_by=actor,
        created_at=now,
        expires_at=now + life,
    )
    db.session.add(made)
    db.session.flush()
    audit.record("token made", actor=actor, now=now, object=f"token:{made.id}", scopes=chosen)
    return made, secret


def find_token(secret: str, *, now: datetime) -> ApiToken | None:
    """Return the token of a secret while it is good."""
    if not secret.startswith(API_KEY_PREFIX):
        return None
    found = db.session.scalar(
        sa.select(ApiToken).where(ApiToken.token_hash == hash_secret(secret.encode("utf-8", "replace")))
    )
    return found if found is not None and is_valid(found, now=now) else None


def is_valid(token: ApiToken, *, now: datetime) -> bool:
    """Tell whether a token still opens anything."""
    return token.revoked_at is None and now < token.expires_at


def was_recently_used(token: ApiToken, *, now: datetime) -> bool:
    """Tell whether its last use has been noted a moment ago."""
    return token.last_used_at is not None and now < token.last_used_at + LAST_USED_INTERVAL


def list_tokens() -> Sequence[ApiToken]:
    """Return every token, newest first."""
    return db.session.scalars(sa.select(ApiToken).order_by(ApiToken.id.desc())).all()


def revoke_token(number: int, *, now: datetime, actor: str) -> ApiToken:
    """End a token at once; raise UnknownToken."""
    found = db.session.get(ApiToken, number, with_for_update=True)
    if found is None:
        raise UnknownToken(id=number)
    if found.revoked_at is None:
        found.revoked_at = now
        line = JournalEntry(now, f"token:{number}", restore_journal.TOKEN_REVOKED, number, found.created_at)
        restore_journal.append_before_commit(line)
        audit.record("token revoked", actor=actor, now=now, object=f"token:{number}")
    return found
