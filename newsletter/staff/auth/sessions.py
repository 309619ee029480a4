"""Server-side staff sessions: one that is ended here is over, whoever has a copy of the cookie (SS-3)."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter import retention
from newsletter.config import current_settings
from newsletter.db import db, execute_dml
from newsletter.staff.models import Staff, StaffSession
from newsletter.web.signed_tokens import hash_secret

IDLE_TIMEOUT = timedelta(minutes=30)
ABSOLUTE_TIMEOUT = timedelta(hours=12)
#: How long the password or a code counts as just given.
FRESHNESS_WINDOW = timedelta(minutes=15)
RETENTION_PERIOD = timedelta(days=retention.SESSION_DAYS)
#: So that not every page is a write.
LAST_SEEN_INTERVAL = timedelta(minutes=1)


def create_session(account: Staff, *, network: str, agent: str, now: datetime) -> str:
    """Begin a session and return its token, which is kept nowhere but in the cookie."""
    token = secrets.token_urlsafe(24)
    db.session.add(
        StaffSession(
            token_hash=hash_secret(token.encode()),
            staff_id=account.id,
            network=hash_network(network),
            agent=agent[:200],
            started_at=now,
            seen_at=now,
            proved_at=now,
        )
    )
    db.session.flush()
    return token


def find_session(token: str, *, now: datetime) -> StaffSession | None:
    """Return the session of a token while it is open and neither idle nor too old."""
    found = db.session.scalar(
        sa.select(StaffSession).where(StaffSession.token_hash == hash_secret(token.encode()))
    )
    return found if found is not None and is_active(found, now=now) else None


def is_active(session: StaffSession, *, now: datetime) -> bool:
    """Tell whether a session still lets its owner in."""
    return (
        session.ended_at is None
        and now < session.seen_at + IDLE_TIMEOUT
        and now < session.started_at + ABSOLUTE_TIMEOUT
    )


def is_fresh(session: StaffSession, *, now: datetime) -> bool:
    """Tell whether the password or a code was given a moment ago."""
    return now < session.proved_at + FRESHNESS_WINDOW


def list_active_sessions(account: Staff, *, now: datetime) -> Sequence[StaffSession]:
    """Return the open sessions of an account, newest first."""
    rows = db.session.scalars(
        sa.select(StaffSession)
        .where(StaffSession.staff_id == account.id, StaffSession.ended_at.is_(None))
        .order_by(StaffSession.id.desc())
    )
    return [row for row in rows if is_active(row, now=now)]


def end_sessions(account: Staff, *, now: datetime, keep: StaffSession | None = None) -> int:
    """End the sessions of an account, all or all but one, and return how many."""
    conditions = [StaffSession.staff_id == account.id, StaffSession.ended_at.is_(None)]
    if keep is not None:
        conditions.append(StaffSession.id != keep.id)
    return execute_dml(sa.update(StaffSession).where(*conditions).values(ended_at=now))


def has_used_network(account: Staff, network: str) -> bool:
    """Tell whether the owner has signed in from a network before."""
    return bool(
        db.session.scalar(
            sa.select(StaffSession.id)
            .where(StaffSession.staff_id == account.id, StaffSession.network == hash_network(network))
            .limit(1)
        )
    )


def delete_old_sessions(now: datetime) -> int:
    """Delete sessions that were begun long ago, and return how many."""
    return execute_dml(sa.delete(StaffSession).where(StaffSession.started_at < now - RETENTION_PERIOD))


def hash_network(network: str) -> str:
    """Return what is kept of a network: enough to know it again, too little to read it."""
    key = current_settings().secret_key.encode()
    return hmac.digest(key, b"staff network " + network.encode(), hashlib.sha256).hex()[:32]
