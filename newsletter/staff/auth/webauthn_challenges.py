"""WebAuthn challenges: random, bound to the browser's session, usable once and for five minutes."""

import secrets
from datetime import datetime, timedelta

from flask import session

from newsletter.ratelimit import limiter
from newsletter.web.signed_tokens import hash_secret

CHALLENGE_LIFETIME = timedelta(minutes=5)
#: What a challenge is for; each has a place of its own in the session.
REGISTRATION, AUTHENTICATION = "adding", "signing_in"
_SESSION_KEY = "passkey_{}"


def create_challenge(purpose: str, *, now: datetime) -> bytes:
    """Return a new challenge; an older one of this browser for the same purpose is over."""
    challenge = secrets.token_bytes(32)
    session[_SESSION_KEY.format(purpose)] = [challenge.hex(), now.timestamp()]
    return challenge


def consume_challenge(purpose: str, *, now: datetime) -> bytes:
    """Return the challenge this browser was given, once; when it is over, random bytes that nothing answers.

    Also who kept a copy of the cookie finds it used.
    """
    text, begun = session.pop(_SESSION_KEY.format(purpose), ["", 0.0])
    is_over = now.timestamp() > begun + CHALLENGE_LIFETIME.total_seconds()
    name = f"passkey/{hash_secret(text.encode())[:32]}"
    if is_over or not limiter.is_first_use(name, int(CHALLENGE_LIFETIME.total_seconds()) + 1):
        return secrets.token_bytes(32)
    return bytes.fromhex(text)
