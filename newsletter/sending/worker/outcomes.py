"""Outcomes: the status of a delivery after the server's reply."""

import re
from datetime import datetime
from typing import Any

from newsletter.mail.outbox import RETRY_DELAYS
from newsletter.mail.replies.rules import VERSION
from newsletter.mail.smtp.transport import Reply
from newsletter.sending.models import DeliveryStatus
from newsletter.sending.worker.leasing import ClaimedDelivery

#: A delivery that was sent, and the reply.
Outcome = tuple[ClaimedDelivery, Reply]

_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"']+@[^\s<>()\[\],;:\"']+")


def status_of(reply: Reply, attempts: int) -> DeliveryStatus:
    """Return the status of a delivery after a reply to its n-th attempt."""
    if reply.is_accepted:
        return DeliveryStatus.ACCEPTED
    if reply.is_uncertain:
        return DeliveryStatus.UNCERTAIN
    # A fault of ours is not the recipient's: the delivery is retried once we have mended it.
    is_ours = reply.fault is not None
    if (reply.is_retryable or is_ours) and attempts <= len(RETRY_DELAYS):
        return DeliveryStatus.DEFERRED
    return DeliveryStatus.FAILED


def outcome_columns(answered: Outcome, now: datetime) -> dict[str, Any]:
    """Return the columns of a delivery to store for an outcome."""
    claimed, reply = answered
    status = status_of(reply, claimed.attempts)
    is_deferred = status is DeliveryStatus.DEFERRED
    return {
        "subscriber_id": claimed.subscriber_id,
        "attempts": claimed.attempts,
        "status": status.value,
        "due_at": now + RETRY_DELAYS[claimed.attempts - 1] if is_deferred else None,
        "reply_code": reply.code or None,
        "rule": reply.rule,
        "rules": VERSION if reply.rule else None,
        "reply_text": None if reply.is_accepted else redact_addresses(reply.text),
    }


def redact_addresses(text: str) -> str:
    """Replace mail addresses in a server's reply (they are personal data)."""
    return _ADDRESS.sub("…", text)
