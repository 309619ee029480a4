"""Erasure of personal data on members of staff, when its retention ends or at their request."""

from datetime import datetime

from newsletter.config import current_settings
from newsletter.db import db, insert_or_ignore
from newsletter.privacy.deadlines import months_before
from newsletter.privacy.models import JobSlot
from newsletter.privacy.retention.erasure import scrub_if_due
from newsletter.staff import personal_data
from newsletter.staff.models import Staff


def clear_account(account: Staff, *, now: datetime, actor: str) -> None:
    """Clear a closed account of its person at once; raise AccountOpen. Commits."""
    _erase_account(account, now=now, actor=actor)
    db.session.commit()
    scrub_if_due()


def clear_old_accounts(now: datetime) -> int:
    """Clear accounts closed before the start of the audit log's retention; return how many.

    Deletes expired links too. Commits; the next sweep scrubs.
    """
    personal_data.delete_expired_links(now)
    due = personal_data.accounts_closed_before(months_before(now, current_settings().keep_audit_months))
    for account in due:
        _erase_account(account, now=now, actor="system")
    db.session.commit()
    return len(due)


def _erase_account(account: Staff, *, now: datetime, actor: str) -> None:
    personal_data.erase(account, now=now, actor=actor)
    insert_or_ignore(JobSlot, {"job": "scrub", "slot": "due", "taken_at": now})
