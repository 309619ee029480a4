"""Sessions live here, not in the cookie: what is ended here is ended, whoever copied the cookie (SS-3)."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter import retention
from newsletter.config import settings
from newsletter.db import change, db
from newsletter.staff.models import Staff, StaffSession
from newsletter.web.signed_tokens import hash_secret

IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=12)
#: How long the password or a code counts as just given.
FRESH = timedelta(minutes=15)
KEPT = timedelta(days=retention.SESSION_DAYS)
#: So that not every page is a write.
SEEN_EVERY = timedelta(minutes=1)


def begin(account: Staff, *, network: str, agent: str, now: datetime) -> str:
    """Begin a session and return its token, which is kept nowhere but in the cookie."""
    token = secrets.token_urlsafe(24)
    db.session.add(
        StaffSession(
            token_hash=hash_secret(token.encode()),
            staff_id=account.id,
            network=network_hash(network),
            agent=agent[:200],
            started_at=now,
            seen_at=now,
            proved_at=now,
        )
    )
    db.session.flush()
    return token


def find(token: str, *, now: datetime) -> StaffSession | None:
    """Return the session of a token while it is open and neither idle nor too old."""
    found = db.session.scalar(
        sa.select(StaffSession).where(StaffSession.token_hash == hash_secret(token.encode()))
    )
    return found if found is not None and is_open(found, now=now) else None


def is_open(session: StaffSession, *, now: datetime) -> bool:
    """Tell whether a session still lets its owner in."""
    return session.ended_at is None and now < session.seen_at + IDLE and now < session.started_at + LONGEST


def is_fresh(session: StaffSession, *, now: datetime) -> bool:
    """Tell whether the password or a code was given a moment ago."""
    return now < session.proved_at + FRESH


def open_of(account: Staff, *, now: datetime) -> Sequence[StaffSession]:
    """Return the open sessions of an account, newest first."""
    rows = db.session.scalars(
        sa.select(StaffSession)
        .where(StaffSession.staff_id == account.id, StaffSession.ended_at.is_(None))
        .order_by(StaffSession.id.desc())
    )
    return [row for row in rows if is_open(row, now=now)]


def end_all(account: Staff, *, now: datetime, but: StaffSession | None = None) -> int:
    """End the sessions of an account, all or all but one, and return how many."""
    theirs = [StaffSession.staff_id == account.id, StaffSession.ended_at.is_(None)]
    if but is not None:
        theirs.append(StaffSession.id != but.id)
    return change(sa.update(StaffSession).where(*theirs).values(ended_at=now))


def knows_network(account: Staff, network: str) -> bool:
    """Tell whether the owner has signed in from a network before."""
    return bool(
        db.session.scalar(
            sa.select(StaffSession.id)
            .where(StaffSession.staff_id == account.id, StaffSession.network == network_hash(network))
            .limit(1)
        )
    )


def forget_old(now: datetime) -> int:
    """Delete sessions that were begun long ago, and return how many."""
    return change(sa.delete(StaffSession).where(StaffSession.started_at < now - KEPT))


def network_hash(network: str) -> str:
    """Return what is kept of a network: enough to know it again, too little to read it."""
    key = settings().secret_key.encode()
    return hmac.digest(key, b"staff network " + network.encode(), hashlib.sha256).hex()[:32]
