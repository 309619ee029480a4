"""The breaker: while signups pour in from everywhere, each has to show that work was done for it.

The limits of one visitor and of one address do not see a flood from many visitors for many
addresses. This counts all signups together; beyond SIGNUP_BREAKER the staff are told, and until the
window ends a signup needs a solved proof of work.
"""

import logging
import math
from datetime import datetime

from limits import RateLimitItem

from newsletter.config import current_settings
from newsletter.ledger import audit
from newsletter.ratelimit import limiter

log = logging.getLogger(__name__)

_KEY = "all signups"


def holds(now: datetime) -> bool:
    """Count a signup and tell whether it may go on without a proof of work."""
    return all(_count(item, now) for item in limiter.parse_rule(current_settings().signup_breaker))


def is_open() -> bool:
    """Tell whether signups need a proof of work now."""
    return bool(_exceeded())


def seconds_left(now: datetime) -> int:
    """Return how long they will need one, as far as anyone knows; at least a second."""
    ends = max((limiter.reset_time(item, _KEY) for item in _exceeded()), default=0.0)
    return max(1, math.ceil(ends - now.timestamp()))


def _count(item: RateLimitItem, now: datetime) -> bool:
    count = limiter.increment(item, _KEY)
    if count == item.amount + 1:  # once a window, in whichever process it happens
        log.error("signup breaker tripped", extra={"limit": str(item)})
        audit.record("signup breaker tripped", actor="system", now=now, limit=str(item))
    return count <= item.amount


def _exceeded() -> list[RateLimitItem]:
    return [
        item
        for item in limiter.parse_rule(current_settings().signup_breaker)
        if limiter.current_count(item, _KEY) > item.amount
    ]
