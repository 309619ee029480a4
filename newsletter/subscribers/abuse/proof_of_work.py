"""A proof of work, asked of browsers while the breaker is open (ALTCHA, served by ourselves).

A browser needs about a second for it, nobody has to see, hear or type anything, and nothing is told
to anyone else. A solution counts once, and until its challenge ends.
"""

import hmac
from datetime import datetime, timedelta
from typing import Any

from altcha import Payload, create_challenge, verify_solution

from newsletter.config import current_settings
from newsletter.ratelimit import limiter

LASTS = timedelta(minutes=15)
#: Some 256 derivations on average for the browser, one for us.
ALGORITHM, COST = "PBKDF2/SHA-256", 5000
_LONGEST = 4000


def make_challenge(now: datetime) -> dict[str, Any]:
    """Return a new challenge as the widget reads it. Nothing is stored of it."""
    challenge = create_challenge(ALGORITHM, COST, expires_at=now + LASTS, hmac_secret=_key())
    return challenge.to_dict()


def is_solved(solution: str, *, now: datetime) -> bool:
    """Tell whether this solves a challenge of ours, in time and for the first time."""
    if not 0 < len(solution) <= _LONGEST or not verify_solution(solution, _key()).verified:
        return False
    challenge = Payload.from_base64(solution).challenge
    seconds_left = (challenge.parameters.expires_at or 0) - int(now.timestamp())
    return limiter.is_first_use(f"challenge/{challenge.signature}", max(0, seconds_left) + 1)


def _key() -> bytes:
    return hmac.digest(current_settings().secret_key.encode(), b"newsletter proof of work", "sha256")
