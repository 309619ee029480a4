"""The one way in for everything that comes back, whatever way it took.

A report is believed when it names a mail of ours by a token that only we can make. It is written
down once, and what it says is carried out in the same transaction. What names no mail, or cannot be
read, is kept for staff to look at and changes nothing.
"""

import enum
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.bounces import apply
from newsletter.bounces.matching import Named, find_named
from newsletter.bounces.models import CONVERSATION, Bounce, Complaint, Kind, WebhookToken
from newsletter.bounces.parser import Reading, read
from newsletter.db import execute_dml, insert_or_ignore
from newsletter.mail.replies.rules import VERSION
from newsletter.mail.return_path import OUTBOX_CAMPAIGN
from newsletter.sending.worker.outcomes import redact_addresses

log = logging.getLogger(__name__)

#: More of a message than this is the newsletter that came back, not the report.
KEPT = 64_000
#: Their stamps hold for a quarter of an hour.
_TOKENS_KEPT = timedelta(hours=1)


class Outcome(enum.Enum):
    """What became of a report."""

    RECORDED = "recorded"
    #: It said nothing new.
    REPEATED = "repeated"
    #: The person or mail it names is no longer here.
    GONE = "gone"
    #: It names no mail of ours, or says nothing we understand.
    KEPT = "kept"


def take_in(
    content: bytes, *, source: str, now: datetime, recipients: Sequence[str] = ()
) -> tuple[Reading, Outcome]:
    """Read a message and carry out what it says, in the caller's transaction.

    ``recipients`` are those of the envelope, where the way it took tells them.
    """
    reading = read(content)
    return record(reading, find_named([*recipients, *reading.naming]), source=source, now=now, raw=content)


def record(
    reading: Reading, named: Named | None, *, source: str, now: datetime, raw: bytes
) -> tuple[Reading, Outcome]:
    """Write a report down and carry out what it says; returns it as it was understood."""
    if named is not None and named.leaves:
        # Whoever writes there wants to leave; what writes by itself does not, unless it says so.
        kind = Kind.UNSUBSCRIBE if reading.asks_to_leave else _of_leaving(reading.kind)
        reading = replace(reading, kind=kind, reason=None, status=None)
    outcome = _record(reading, named, source=source, now=now, raw=raw)
    log.info(
        "report taken in", extra={"source": source, "kind": reading.kind.value, "outcome": outcome.value}
    )
    return reading, outcome


def note_refusal(reading: Reading, named: Named, about: apply.About, *, now: datetime) -> None:
    """Write down what a server refused at once, and carry out what that says, in the caller's transaction."""
    row = _row(reading, named, source="reply", now=now, raw=b"") | {"subscriber_id": about.subscriber_id}
    if insert_or_ignore(Bounce, row):
        apply.carry_out(reading, about, now=now)


def _of_leaving(kind: Kind) -> Kind:
    return Kind.UNSUBSCRIBE if kind is Kind.UNREADABLE else kind


def _record(reading: Reading, named: Named | None, *, source: str, now: datetime, raw: bytes) -> Outcome:
    if named is None or reading.kind is Kind.UNREADABLE:
        return _keep(reading, named, source=source, now=now, raw=raw)
    about = apply.find_about(named.sent)
    if about is None:
        return Outcome.GONE
    row = _row(reading, named, source=source, now=now, raw=raw) | {"subscriber_id": about.subscriber_id}
    table = Complaint if reading.kind is Kind.COMPLAINT else Bounce
    if not insert_or_ignore(table, row):
        return Outcome.REPEATED
    apply.carry_out(reading, about, now=now)
    return Outcome.RECORDED


def _keep(reading: Reading, named: Named | None, *, source: str, now: datetime, raw: bytes) -> Outcome:
    """Keep what cannot be believed or understood; where it names one of our mails, with that one."""
    about = apply.find_about(named.sent) if named else None
    reason = "unknown_event" if reading.reason == "unknown_event" else None if named else "unnamed"
    kept = replace(reading, kind=Kind.UNREADABLE, reason=reason, said=None)
    row = _row(kept, named if about else None, source=source, now=now, raw=raw)
    row |= {
        "subscriber_id": about.subscriber_id if about else None,
        "digest": hashlib.sha256(raw).hexdigest(),
        "text": None,  # not ours to say whose words they are
    }
    return Outcome.KEPT if insert_or_ignore(Bounce, row) else Outcome.REPEATED


def _row(
    reading: Reading, named: Named | None, *, source: str, now: datetime, raw: bytes
) -> dict[str, object]:
    sent = named.sent if named else None
    text = redact_addresses(reading.text) or None
    # The way it came and the lines that servers add on it make no other report.
    said = "|".join(map(str, (sent, reading.kind.value, reading.status, reading.feedback_type, text)))
    is_kept = reading.kind not in CONVERSATION
    row: dict[str, object] = {
        "received_at": now,
        "source": source,
        "campaign_id": sent.campaign_id if sent and sent.campaign_id != OUTBOX_CAMPAIGN else None,
        "outbox_id": sent.number if sent and sent.campaign_id == OUTBOX_CAMPAIGN else None,
        "digest": hashlib.sha256(said.encode()).hexdigest(),
        "raw": raw[:KEPT].decode("latin-1").replace("\0", "") if is_kept else None,
    }
    if reading.kind is Kind.COMPLAINT:
        return row | {"feedback_type": reading.feedback_type or "abuse"}
    return row | {
        "kind": reading.kind,
        "status": reading.status,
        "reason": reading.reason,
        "rules": VERSION if reading.said else None,
        "said": reading.said.facts() if reading.said else None,
        "text": text if is_kept else None,
    }


def take_once(token: str, now: datetime) -> bool:
    """Tell whether a relay's token has not been taken before, in the caller's transaction; old ones go."""
    execute_dml(sa.delete(WebhookToken).where(WebhookToken.taken_at < now - _TOKENS_KEPT))
    digest = hashlib.sha256(token.encode()).hexdigest()
    return bool(insert_or_ignore(WebhookToken, {"digest": digest, "taken_at": now}))
