"""Circuit breaker of signups: beyond SIGNUP_BREAKER each signup needs a proof of work.

The limits by client and by address do not see a flood from many clients for many addresses. This counts
all signups together. When the limit is exceeded, an audit entry alerts staff, and signups need a proof of
work until the window ends.
"""

import logging
import math
from datetime import datetime

from limits import RateLimitItem

from newsletter.config import current_settings
from newsletter.ledger import audit
from newsletter.ratelimit import limiter

log = logging.getLogger(__name__)

_COUNTER_KEY = "all signups"


def allow_signup(now: datetime) -> bool:
    """Count a signup; return whether it is allowed without a proof of work."""
    return all(_increment(item, now) for item in limiter.parse_rule(current_settings().signup_breaker))


def is_open() -> bool:
    """Return whether signups need a proof of work now."""
    return bool(_exceeded_limits())


def retry_after_seconds(now: datetime) -> int:
    """Return the seconds until the breaker closes, by the windows known now; at least 1."""
    ends = max((limiter.reset_time(item, _COUNTER_KEY) for item in _exceeded_limits()), default=0.0)
    return max(1, math.ceil(ends - now.timestamp()))


def _increment(item: RateLimitItem, now: datetime) -> bool:
    count = limiter.increment(item, _COUNTER_KEY)
    if count == item.amount + 1:  # exactly one process sees this value in a window
        log.error("signup breaker tripped", extra={"limit": str(item)})
        audit.record("signup breaker tripped", actor="system", now=now, limit=str(item))
    return count <= item.amount


def _exceeded_limits() -> list[RateLimitItem]:
    return [
        item
        for item in limiter.parse_rule(current_settings().signup_breaker)
        if limiter.current_count(item, _COUNTER_KEY) > item.amount
    ]
