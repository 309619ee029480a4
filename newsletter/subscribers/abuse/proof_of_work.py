"""Proof of work for signups while the circuit breaker is open (ALTCHA, self-hosted).

A browser needs about a second, without interaction and without any request to a third party. A solution
is accepted once, and until its challenge expires.
"""

import hmac
from datetime import datetime, timedelta
from typing import Any

from altcha import Payload, create_challenge, verify_solution

from newsletter.config import current_settings
from newsletter.ratelimit import limiter

CHALLENGE_LIFETIME = timedelta(minutes=15)
#: About 256 key derivations on average for the browser, one for the server.
ALGORITHM, COST = "PBKDF2/SHA-256", 5000
_MAX_SOLUTION_LENGTH = 4000


def make_challenge(now: datetime) -> dict[str, Any]:
    """Return a new challenge as the widget reads it. Stateless: nothing is stored."""
    challenge = create_challenge(
        ALGORITHM, COST, expires_at=now + CHALLENGE_LIFETIME, hmac_secret=_hmac_key()
    )
    return challenge.to_dict()


def redeem_solution(solution: str, *, now: datetime) -> bool:
    """Return whether this solves a challenge of ours, in time and for the first time; marks it used."""
    if not 0 < len(solution) <= _MAX_SOLUTION_LENGTH or not verify_solution(solution, _hmac_key()).verified:
        return False
    challenge = Payload.from_base64(solution).challenge
    seconds_left = (challenge.parameters.expires_at or 0) - int(now.timestamp())
    return limiter.is_first_use(f"challenge/{challenge.signature}", max(0, seconds_left) + 1)


def _hmac_key() -> bytes:
    return hmac.digest(current_settings().secret_key.encode(), b"newsletter proof of work", "sha256")
