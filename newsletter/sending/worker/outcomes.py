"""What a server's answer makes of a delivery."""

import re
from datetime import datetime
from typing import Any

from newsletter.mail.outbox import RETRY_AFTER
from newsletter.mail.replies.rules import VERSION
from newsletter.mail.smtp.transport import Reply
from newsletter.sending.models import DeliveryStatus
from newsletter.sending.worker.leasing import Claimed

#: A delivery handed over, and what became of it.
Answered = tuple[Claimed, Reply]

_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"']+@[^\s<>()\[\],;:\"']+")


def status_of(reply: Reply, attempts: int) -> DeliveryStatus:
    """Tell what becomes of a delivery after so many tries."""
    if reply.is_accepted:
        return DeliveryStatus.ACCEPTED
    if reply.is_uncertain:
        return DeliveryStatus.UNCERTAIN
    # A fault of ours is never blamed on the person: it is tried again once we have mended it.
    is_ours = reply.fault is not None
    if (reply.is_retryable or is_ours) and attempts <= len(RETRY_AFTER):
        return DeliveryStatus.DEFERRED
    return DeliveryStatus.FAILED


def in_figures(answered: Answered, now: datetime) -> dict[str, Any]:
    """Return what is written down of an answer, by the names of the columns."""
    claimed, reply = answered
    status = status_of(reply, claimed.attempts)
    is_deferred = status is DeliveryStatus.DEFERRED
    return {
        "subscriber_id": claimed.subscriber_id,
        "attempts": claimed.attempts,
        "status": status.value,
        "due_at": now + RETRY_AFTER[claimed.attempts - 1] if is_deferred else None,
        "reply_code": reply.code or None,
        "rule": reply.rule,
        "rules": VERSION if reply.rule else None,
        "reply_text": None if reply.is_accepted else without_addresses(reply.text),
    }


def without_addresses(text: str) -> str:
    """Cut mail addresses out of what a server said."""
    return _ADDRESS.sub("…", text)
