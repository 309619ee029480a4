"""The daily clocks (RP-6), and what is pointed out to whoever answers for data protection.

Once a day, by whichever worker comes first; a day on which none ran is made up for by the next.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from newsletter.config import settings
from newsletter.db import change, db, insert_or_ignore
from newsletter.ledger import audit
from newsletter.mail import outbox
from newsletter.privacy.deadlines import BREACH_HOURS, WARN_DAYS, is_last_day, local_day, months_before
from newsletter.privacy.models import Incident, JobSlot, PurgeRun, RequestStatus, RightsRequest
from newsletter.privacy.retention.staff_accounts import forget_staff
from newsletter.retention import PENDING_DAYS

log = logging.getLogger(__name__)

#: Slots are remembered this long; those of years for ever.
_FORGET_SLOTS = timedelta(days=40)


def run_daily_clocks(now: datetime) -> None:
    """Delete what has come to the end of its time, and point out what is late. Commits."""
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
    audit.forget_before(months_before(now, settings().keep_audit_months))


def forget_slots(now: datetime) -> int:
    """Forget on which days long ago this was done."""
    old = JobSlot.taken_at < now - _FORGET_SLOTS
    return change(sa.delete(JobSlot).where(JobSlot.job.startswith("daily"), old))


def forget_unproven(now: datetime) -> int:
    """Delete the requests whose mailbox never answered."""
    old = RightsRequest.received_at < now - timedelta(days=PENDING_DAYS)
    return change(sa.delete(RightsRequest).where(RightsRequest.status == RequestStatus.UNPROVEN, old))


def point_out(now: datetime) -> dict[str, int]:
    """Write to the privacy contact about what is late or soon will be, and return what that is."""
    found = {kind: number for kind, number in late(now).items() if number}
    if not found:
        return {}
    log.error("data protection needs attention", extra=found)
    told: dict[str, Any] = dict(found)
    audit.record("attention called", actor="system", now=now, **told)
    contact = settings().privacy_contact
    if "@" in contact and " " not in contact:
        context: dict[str, Any] = {"found": found, "url": f"{settings().base_url}/staff/privacy"}
        outbox.enqueue(
            "privacy_alert", to=contact, language=settings().languages[0], now=now, context=context
        )
    return found


def late(now: datetime) -> dict[str, int]:
    """Count what is late or soon will be."""
    today = local_day(now)
    waiting = RightsRequest.status == RequestStatus.OPEN
    soon = RightsRequest.due_on.between(today, today + timedelta(days=WARN_DAYS))
    count = partial(_count, RightsRequest, waiting)
    return {
        "overdue": count(RightsRequest.due_on < today),
        "due_soon": count(soon),
        "purge_missing": int(is_last_day(now) and not _has_purged(now)),
        "breaches_unreported": _count(
            Incident,
            Incident.reported_at.is_(None),
            Incident.closed_at.is_(None),
            Incident.noticed_at < now - BREACH_HOURS + timedelta(days=1),
        ),
    }


def _has_purged(now: datetime) -> bool:
    year = local_day(now).year
    runs = db.session.scalars(sa.select(PurgeRun.finished_at).where(PurgeRun.finished_at.is_not(None)))
    return any(finished is not None and local_day(finished).year == year for finished in runs)


def _count(table: type[Any], *those: sa.ColumnElement[bool]) -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(table).where(*those)) or 0


#: What is done once a day, each in a transaction of its own: one that fails holds up no other.
DEADLINES: Mapping[str, Callable[[datetime], object]] = {
    "acts": forget_acts,
    "unproven": forget_unproven,
    "staff": forget_staff,
    "slots": forget_slots,
    "reminders": point_out,
}
