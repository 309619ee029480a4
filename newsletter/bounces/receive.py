"""Receives reports from all sources: stores each once and applies it in the same transaction.

A report is trusted when it contains the token of one of our mails, which only we can sign. One that
matches no mail, or cannot be parsed, is kept for staff and changes nothing.
"""

import enum
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.bounces import apply
from newsletter.bounces.matching import MatchedMail, match_mail
from newsletter.bounces.models import CONTENT_NOT_KEPT, Bounce, Complaint, ReportKind, WebhookToken
from newsletter.bounces.parser import Report, parse_message
from newsletter.db import execute_dml, insert_or_ignore
from newsletter.mail.replies.rules import VERSION
from newsletter.mail.return_path import OUTBOX_CAMPAIGN
from newsletter.sending.worker.outcomes import redact_addresses

log = logging.getLogger(__name__)

#: Bytes of a message that are stored: the report comes first, then the returned newsletter.
MAX_RAW_BYTES = 64_000
#: Their stamps hold for a quarter of an hour.
_TOKENS_KEPT = timedelta(hours=1)


class Outcome(enum.Enum):
    """What happened to a report."""

    RECORDED = "recorded"
    #: A duplicate.
    REPEATED = "repeated"
    #: The mail it matches has been deleted.
    GONE = "gone"
    #: It matches no mail of ours or cannot be parsed; stored and not applied.
    KEPT = "kept"


def receive_message(
    content: bytes, *, source: str, now: datetime, recipients: Sequence[str] = ()
) -> tuple[Report, Outcome]:
    """Parse a message and apply it, in the caller's transaction.

    ``recipients`` are the envelope recipients, where the source knows them.
    """
    reading = parse_message(content)
    return record_report(
        reading, match_mail([*recipients, *reading.naming]), source=source, now=now, raw=content
    )


def record_report(
    reading: Report, named: MatchedMail | None, *, source: str, now: datetime, raw: bytes
) -> tuple[Report, Outcome]:
    """Store a report and apply it, in the caller's transaction; return it as understood."""
    if named is not None and named.is_unsubscribe:
        # Whoever writes there wants to leave; what writes by itself does not, unless it says so.
        kind = ReportKind.UNSUBSCRIBE if reading.asks_to_leave else _as_unsubscribe(reading.kind)
        reading = replace(reading, kind=kind, reason=None, status=None)
    outcome = _store_and_apply(reading, named, source=source, now=now, raw=raw)
    log.info(
        "report taken in", extra={"source": source, "kind": reading.kind.value, "outcome": outcome.value}
    )
    return reading, outcome


def note_refusal(reading: Report, named: MatchedMail, about: apply.ReportedMail, *, now: datetime) -> None:
    """Write down what a server refused at once, and carry out what that says, in the caller's transaction."""
    row = _report_row(reading, named, source="reply", now=now, raw=b"") | {
        "subscriber_id": about.subscriber_id
    }
    if insert_or_ignore(Bounce, row):
        apply.apply_report(reading, about, now=now)


def _as_unsubscribe(kind: ReportKind) -> ReportKind:
    return ReportKind.UNSUBSCRIBE if kind is ReportKind.UNREADABLE else kind


def _store_and_apply(
    reading: Report, named: MatchedMail | None, *, source: str, now: datetime, raw: bytes
) -> Outcome:
    if named is None or reading.kind is ReportKind.UNREADABLE:
        return _store_unmatched(reading, named, source=source, now=now, raw=raw)
    about = apply.find_reported_mail(named.sent)
    if about is None:
        return Outcome.GONE
    row = _report_row(reading, named, source=source, now=now, raw=raw) | {
        "subscriber_id": about.subscriber_id
    }
    table = Complaint if reading.kind is ReportKind.COMPLAINT else Bounce
    if not insert_or_ignore(table, row):
        return Outcome.REPEATED
    apply.apply_report(reading, about, now=now)
    return Outcome.RECORDED


def _store_unmatched(
    reading: Report, named: MatchedMail | None, *, source: str, now: datetime, raw: bytes
) -> Outcome:
    """Store a report that cannot be trusted or parsed; with the mail it matches, if any."""
    about = apply.find_reported_mail(named.sent) if named else None
    reason = "unknown_event" if reading.reason == "unknown_event" else None if named else "unnamed"
    kept = replace(reading, kind=ReportKind.UNREADABLE, reason=reason, said=None)
    row = _report_row(kept, named if about else None, source=source, now=now, raw=raw)
    row |= {
        "subscriber_id": about.subscriber_id if about else None,
        "digest": hashlib.sha256(raw).hexdigest(),
        "text": None,  # it may hold anybody's personal data
    }
    return Outcome.KEPT if insert_or_ignore(Bounce, row) else Outcome.REPEATED


def _report_row(
    reading: Report, named: MatchedMail | None, *, source: str, now: datetime, raw: bytes
) -> dict[str, object]:
    sent = named.sent if named else None
    text = redact_addresses(reading.text) or None
    # Source and added headers are left out, so that the same report twice has one digest.
    said = "|".join(map(str, (sent, reading.kind.value, reading.status, reading.feedback_type, text)))
    is_kept = reading.kind not in CONTENT_NOT_KEPT
    row: dict[str, object] = {
        "received_at": now,
        "source": source,
        "campaign_id": sent.campaign_id if sent and sent.campaign_id != OUTBOX_CAMPAIGN else None,
        "outbox_id": sent.number if sent and sent.campaign_id == OUTBOX_CAMPAIGN else None,
        "digest": hashlib.sha256(said.encode()).hexdigest(),
        "raw": raw[:MAX_RAW_BYTES].decode("latin-1").replace("\0", "") if is_kept else None,
    }
    if reading.kind is ReportKind.COMPLAINT:
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
