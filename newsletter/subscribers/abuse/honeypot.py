"""Two traps for programs that fill in our own form: a field no person sees, and haste.

A form on another site has neither field, and none is asked for: what stands between a stranger and
somebody's mailbox is the confirmation, not these.
"""

import logging
from collections.abc import Mapping
from datetime import datetime

from newsletter.errors import LinkInvalid
from newsletter.web.signed_tokens import SignedLink

log = logging.getLogger(__name__)

#: Milliseconds since the epoch.
SHOWN = SignedLink("form", "Q")
#: Short: a browser that fills in the form by itself is quick, and a dropped signup tells its person
#: nothing. A program that fetches the form and posts it at once is quicker still.
LEAST_MILLISECONDS = 100


def stamp(posted: Mapping[str, str], now: datetime) -> str:
    """Return the value of the field ``shown``: when the visitor saw the form first."""
    earlier = posted.get("shown", "")
    return earlier if _shown_at(earlier) is not None else SHOWN.make(_milliseconds(now))


def is_caught(posted: Mapping[str, str], now: datetime) -> bool:
    """Tell whether a program filled in the form, and count that in the log."""
    token = posted.get("shown", "")
    shown_at = _shown_at(token) if token else None
    # Below nought is the clock of another machine, and tells nothing.
    hasty = shown_at is not None and 0 <= _milliseconds(now) - shown_at < LEAST_MILLISECONDS
    reason = "honeypot" if posted.get("website") else "haste" if hasty else ""
    if reason:
        log.info("signup dropped", extra={"reason": reason})
    return bool(reason)


def _shown_at(token: str) -> int | None:
    try:
        (milliseconds,) = SHOWN.read(token)
    except LinkInvalid:  # a key that is gone; a program would rather leave the field out
        return None
    return int(milliseconds)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
