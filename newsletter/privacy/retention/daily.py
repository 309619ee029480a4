"""Daily data protection jobs (RP-6): delete what has expired, and remind the privacy contact of what is late.

Run once a day by the first worker that claims the day's slot. A missed day is made up for on the next one.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from newsletter.config import current_settings
from newsletter.db import db, execute_dml, insert_or_ignore
from newsletter.ledger import audit
from newsletter.mail import outbox
from newsletter.privacy.deadlines import (
    BREACH_REPORT_PERIOD,
    REMINDER_DAYS,
    is_last_purge_day,
    local_day,
    months_before,
)
from newsletter.privacy.models import Incident, JobSlot, PurgeRun, RequestStatus, RightsRequest
from newsletter.privacy.retention.staff_accounts import clear_old_accounts
from newsletter.retention import PENDING_DAYS

log = logging.getLogger(__name__)

#: Daily slots are kept this long; yearly ones for ever.
_SLOT_RETENTION = timedelta(days=40)


def run_daily_jobs(now: datetime) -> None:
    """Delete what has expired, and remind of what is late; at most once a day. Commits."""
    for deadline in DEADLINES:
        meet(deadline, now)


def meet(deadline: str, now: datetime) -> None:
    """Do one of DEADLINES unless it was done today. Commits; what fails, or is killed, is still due."""
    slot = {"job": f"daily {deadline}", "slot": local_day(now).isoformat()}
    if db.session.get(JobSlot, tuple(slot.values())) is not None:
        db.session.rollback()
        return
    DEADLINES[deadline](now)
    # Last, as some of them commit on their way. Where another worker was faster, its reminder is the one.
    if insert_or_ignore(JobSlot, slot | {"taken_at": now}):
        db.session.commit()
    else:
        db.session.rollback()


def forget_acts(now: datetime) -> None:
    """Delete the entries of the audit log that are older than they are kept."""
    audit.delete_before(months_before(now, current_settings().keep_audit_months))


def forget_slots(now: datetime) -> int:
    """Forget on which days long ago this was done."""
    old = JobSlot.taken_at < now - _SLOT_RETENTION
    return execute_dml(sa.delete(JobSlot).where(JobSlot.job.startswith("daily"), old))


def delete_unconfirmed_requests(now: datetime) -> int:
    """Delete the requests that were never confirmed from their mailbox; return how many."""
    old = RightsRequest.received_at < now - timedelta(days=PENDING_DAYS)
    return execute_dml(sa.delete(RightsRequest).where(RightsRequest.status == RequestStatus.UNPROVEN, old))


def send_reminders(now: datetime) -> dict[str, int]:
    """Mail PRIVACY_ALERTS what is late or due soon, and return the counts."""
    found = {kind: number for kind, number in count_overdue(now).items() if number}
    if not found:
        return {}
    log.error("data protection needs attention", extra=found)
    told: dict[str, Any] = dict(found)
    audit.record("attention called", actor="system", now=now, **told)
    chosen = current_settings()
    context: dict[str, Any] = {"found": found, "url": f"{chosen.base_url}/staff/privacy"}
    for mailbox in chosen.alert_mailboxes:
        outbox.enqueue("privacy_alert", to=mailbox, language=chosen.languages[0], now=now, context=context)
    return found


def count_overdue(now: datetime) -> dict[str, int]:
    """Count requests, breaches and the purge that are late or due soon."""
    today = local_day(now)
    waiting = RightsRequest.status == RequestStatus.OPEN
    soon = RightsRequest.due_on.between(today, today + timedelta(days=REMINDER_DAYS))
    count = partial(_count, RightsRequest, waiting)
    return {
        "overdue": count(RightsRequest.due_on < today),
        "due_soon": count(soon),
        "purge_missing": int(is_last_purge_day(now) and not _is_purge_done(now)),
        "breaches_unreported": _count(
            Incident,
            Incident.reported_at.is_(None),
            Incident.closed_at.is_(None),
            Incident.noticed_at < now - BREACH_REPORT_PERIOD + timedelta(days=1),
        ),
    }


def _is_purge_done(now: datetime) -> bool:
    year = local_day(now).year
    runs = db.session.scalars(sa.select(PurgeRun.finished_at).where(PurgeRun.finished_at.is_not(None)))
    return any(finished is not None and local_day(finished).year == year for finished in runs)


def _count(table: type[Any], *those: sa.ColumnElement[bool]) -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(table).where(*those)) or 0


#: What is done once a day, each in a transaction of its own: one that fails holds up no other.
DEADLINES: Mapping[str, Callable[[datetime], object]] = {
    "acts": forget_acts,
    "unproven": delete_unconfirmed_requests,
    "staff": clear_old_accounts,
    "slots": forget_slots,
    "reminders": send_reminders,
}
