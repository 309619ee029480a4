"""Export and erasure of personal data on members of staff.

The row of an account stays, as the audit log refers to its id, which must never be another person's.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from newsletter.config import current_settings
from newsletter.db import db, execute_dml
from newsletter.durable import restore_journal
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.dev_mailbox import delete_mails_to
from newsletter.mail.models import OutboxMail
from newsletter.staff.accounts import journal_entry
from newsletter.staff.auth.access import make_uniquifier
from newsletter.staff.models import Staff, StaffInvitation, StaffPasskey, StaffReset, StaffSession


class AccountOpen(NewsletterError):
    """Somebody works with it."""

    message = N_("This account is open. Close it first.")


def export(account: Staff) -> dict[str, Any]:
    """Return everything held on a member of staff but what only proves who logs in, instants as ISO 8601."""
    of_account = sa.or_(AuditEntry.actor == f"staff:{account.id}", AuditEntry.object == f"staff:{account.id}")
    return {
        "account": _account_data(account),
        "passkeys": [
            {
                "name": key.name,
                "credential": key.credential,
                "created_at": key.created_at.isoformat(),
                "last_used_at": _isoformat(key.last_used_at),
            }
            for key in _rows(StaffPasskey, StaffPasskey.staff_id == account.id)
        ],
        "sessions": [
            {
                "browser": row.agent,
                "network": row.network,
                "started_at": row.started_at.isoformat(),
                "seen_at": row.seen_at.isoformat(),
                "ended_at": _isoformat(row.ended_at),
            }
            for row in _rows(StaffSession, StaffSession.staff_id == account.id)
        ],
        "invitations": [
            {"address": row.address, "role": row.role.value, "created_at": row.created_at.isoformat()}
            for row in _rows(StaffInvitation, StaffInvitation.address == account.email)
        ],
        "acts": [
            {"at": entry.at.isoformat(), "by": entry.actor, "action": entry.action, "object": entry.object}
            for entry in _rows(AuditEntry, of_account)
        ],
    }


def erase(account: Staff, *, now: datetime, actor: str) -> None:
    """Blank everything in a closed account that tells whose it was; raise AccountOpen.

    A second time changes nothing.
    """
    if account.active:
        raise AccountOpen
    if account.cleared_at is not None:
        return
    address, account.email = account.email, f"staff:{account.id}"
    account.password, account.fs_uniquifier = "", make_uniquifier()
    account.totp_secret = account.totp_counter = None
    account.passkey_handle = account.openid_subject = None
    account.recovery_hashes = []
    account.cleared_at = now
    for table in (StaffPasskey, StaffSession, StaffReset):
        execute_dml(sa.delete(table).where(table.staff_id == account.id))
    execute_dml(sa.delete(StaffInvitation).where(StaffInvitation.address == address))
    _delete_mails_to(address)
    restore_journal.append_before_commit(journal_entry(account, restore_journal.ACCOUNT_CLEARED, now))
    audit.record("staff account cleared", actor=actor, now=now, object=f"staff:{account.id}")


def accounts_closed_before(moment: datetime) -> Sequence[Staff]:
    """Return the accounts closed before then that are not cleared yet, locked."""
    due = sa.select(Staff).where(Staff.closed_at < moment, Staff.cleared_at.is_(None))
    return db.session.scalars(due.order_by(Staff.id).with_for_update(of=Staff)).all()


def delete_expired_links(now: datetime) -> int:
    """Delete the invitations and the links for a new password that no longer work; return how many."""
    return sum(
        execute_dml(sa.delete(table).where(sa.or_(table.expires_at <= now, table.used_at.is_not(None))))
        for table in (StaffInvitation, StaffReset)
    )


def _delete_mails_to(address: str) -> None:
    if current_settings().uses_mailbox:
        delete_mails_to({address.casefold()})
    to_them = sa.func.lower(OutboxMail.address) == address.lower()
    execute_dml(sa.update(OutboxMail).where(to_them).values(address=None, context=None))


def _account_data(account: Staff) -> dict[str, Any]:
    return {
        "number": account.id,
        "address": account.email,
        "role": account.role.value,
        "lists": account.lists,
        "created_at": account.created_at.isoformat(),
        "closed_at": _isoformat(account.closed_at),
        "has_second_step": account.has_second_step,
        "openid_subject": account.openid_subject,
        "undertaken_at": _isoformat(account.undertaken_at),
        "undertaking_version": account.undertaking_version,
    }


def _rows(table: type[Any], condition: sa.ColumnElement[bool]) -> Sequence[Any]:
    return db.session.scalars(sa.select(table).where(condition).order_by(table.id)).all()


def _isoformat(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
