"""What is kept on members of staff, cleared when its time is over or at their wish."""

from datetime import datetime

from newsletter.config import settings
from newsletter.db import db, insert_or_ignore
from newsletter.privacy.deadlines import months_before
from newsletter.privacy.models import JobSlot
from newsletter.privacy.retention.erasure import scrub_if_due
from newsletter.staff import personal_data
from newsletter.staff.models import Staff


def clear_account(account: Staff, *, now: datetime, actor: str) -> None:
    """Clear a closed account of its person at once; raise AccountOpen. Commits."""
    _clear(account, now=now, actor=actor)
    db.session.commit()
    scrub_if_due()


def forget_staff(now: datetime) -> int:
    """Clear the accounts closed so long ago that no act in the audit log is theirs; return how many.

    Links that no longer work go too. Commits; the next sweep scrubs.
    """
    personal_data.forget_links(now)
    due = personal_data.closed_before(months_before(now, settings().keep_audit_months))
    for account in due:
        _clear(account, now=now, actor="system")
    db.session.commit()
    return len(due)


def _clear(account: Staff, *, now: datetime, actor: str) -> None:
    personal_data.erase(account, now=now, actor=actor)
    insert_or_ignore(JobSlot, {"job": "scrub", "slot": "due", "taken_at": now})
