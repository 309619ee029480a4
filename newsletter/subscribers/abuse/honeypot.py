"""Honeypot of our own signup form: a field that people do not see, and a minimum time to fill it in.

A form on another site has neither field, and none is required: the confirmation protects mailboxes, this
only reduces noise.
"""

import logging
from collections.abc import Mapping
from datetime import datetime

from newsletter.errors import LinkInvalid
from newsletter.web.signed_tokens import SignedLink

log = logging.getLogger(__name__)

#: Token with the time the form was shown, in milliseconds since the epoch.
SHOWN_AT_TOKEN = SignedLink("form", "Q")
#: Short, as autofill is quick and a dropped signup tells its person nothing. A program that fetches the
#: form and posts it at once is faster still.
MIN_FILL_MILLISECONDS = 100


def make_shown_at_token(posted: Mapping[str, str], now: datetime) -> str:
    """Return the value of the field ``shown``: a token with the time the visitor first saw the form."""
    earlier = posted.get("shown", "")
    return earlier if _read_shown_at(earlier) is not None else SHOWN_AT_TOKEN.make(_epoch_milliseconds(now))


def is_automated(posted: Mapping[str, str], now: datetime) -> bool:
    """Return whether a program filled in the form; logs it if so."""
    token = posted.get("shown", "")
    shown_at = _read_shown_at(token) if token else None
    # A negative time is due to the clock of another machine, and means nothing.
    hasty = shown_at is not None and 0 <= _epoch_milliseconds(now) - shown_at < MIN_FILL_MILLISECONDS
    reason = "honeypot" if posted.get("website") else "haste" if hasty else ""
    if reason:
        log.info("signup dropped", extra={"reason": reason})
    return bool(reason)


def _read_shown_at(token: str) -> int | None:
    try:
        (milliseconds,) = SHOWN_AT_TOKEN.read(token)
    except LinkInvalid:  # signed with a removed key; a program would omit the field
        return None
    return int(milliseconds)


def _epoch_milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
