"""Staff accounts: invitation, password reset, role, closing. Nobody but the person ever sets the password.

An account begins as an invitation: a one-time link whose holder chooses a password. A forgotten password is
replaced in the same way.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from newsletter.config import current_settings
from newsletter.db import db, execute_dml, insert_or_ignore
from newsletter.durable import restore_journal
from newsletter.durable.restore_journal import JournalEntry
from newsletter.errors import N_, LinkExpired, NewsletterError, NotFound
from newsletter.ledger import audit
from newsletter.mail import outbox
from newsletter.staff.auth import sessions
from newsletter.staff.auth.access import (
    UNDERTAKING_VERSION,
    make_password_hash,
    make_uniquifier,
    normalize_address,
)
from newsletter.staff.auth.passwords import validate_password
from newsletter.staff.models import LIMITABLE_ROLES, Role, Staff, StaffInvitation, StaffReset
from newsletter.web.signed_tokens import hash_secret

INVITATION_LIFETIME = timedelta(hours=24)
RESET_LIFETIME = timedelta(minutes=60)


class AccountExists(NewsletterError):
    """The address has an account."""

    message = N_("There is already an account with this address.")


class UnknownAccount(NotFound):
    """Nobody of that number or address."""

    message = N_("There is no such account.")


class LastAdministrator(NewsletterError):
    """Somebody must be able to let people in."""

    message = N_("This is the only administrator. Make somebody else an administrator first.")


class AccountCleared(NewsletterError):
    """Nothing is left of whose it was."""

    message = N_("This account has been cleared and cannot be opened again. Invite the person anew.")


class InvitationUsed(LinkExpired):
    """Used, replaced or too old."""

    message = N_("This invitation is no longer valid. Ask for a new one.")


class ResetUsed(LinkExpired):
    """Used, replaced or too old."""

    message = N_("This link is no longer valid. Ask for a new password again.")


def has_staff() -> bool:
    """Tell whether anyone can log in."""
    return db.session.scalar(sa.select(Staff.id).limit(1)) is not None


def list_accounts() -> Sequence[Staff]:
    """Return every account that is somebody's, the closed ones last."""
    accounts = sa.select(Staff).where(Staff.cleared_at.is_(None))
    return db.session.scalars(accounts.order_by(Staff.active.desc(), Staff.email)).all()


def list_open_invitations(now: datetime) -> Sequence[StaffInvitation]:
    """Return the invitations that wait for their person."""
    waiting = (
        StaffInvitation.used_at.is_(None),
        StaffInvitation.expires_at > now,
        StaffInvitation.address.is_not(None),
    )
    return db.session.scalars(sa.select(StaffInvitation).where(*waiting).order_by(StaffInvitation.id)).all()


def get_account(number: int, *, lock: bool = True) -> Staff:
    """Return an account, locked unless it is only looked at; raise UnknownAccount."""
    found = db.session.get(Staff, number, with_for_update=lock, populate_existing=lock)
    if found is None:
        raise UnknownAccount
    return found


def find_account(address: str) -> Staff | None:
    """Return the account of an address, however it is written; raise AddressInvalid."""
    return db.session.scalar(sa.select(Staff).where(Staff.email == normalize_address(address)))


# --- invitations ------------------------------------------------------------------------------------


def invite(
    role: Role, *, address: str | None, now: datetime, actor: str, lists: list[str] | None = None
) -> str:
    """Make an invitation and return the token of its link, which is kept nowhere.

    Raises AccountExists when the address has an account.
    """
    if (
        address is not None
        and db.session.scalar(sa.select(Staff.id).where(Staff.email == address)) is not None
    ):
        raise AccountExists
    token = secrets.token_urlsafe(24)
    # One invitation a person: a newer one replaces an older one.
    db.session.execute(
        sa.delete(StaffInvitation).where(
            StaffInvitation.address.is_not_distinct_from(address), StaffInvitation.used_at.is_(None)
        )
    )
    db.session.add(
        StaffInvitation(
            token_hash=hash_secret(token.encode()),
            address=address,
            role=role,
            lists=lists,
            created_at=now,
            expires_at=now + INVITATION_LIFETIME,
        )
    )
    limited: dict[str, Any] = {"lists": lists} if lists else {}
    audit.record("staff invited", actor=actor, now=now, role=role.value, **limited)
    return token


def actor_display_name(actor: str) -> str:
    """Return what staff call the one who did something: an address, or "console" and the like."""
    kind, _colon, number = actor.partition(":")
    found = db.session.get(Staff, int(number)) if kind == "staff" and number.isdecimal() else None
    return found.email if found is not None else kind


def invite_by_mail(
    role: Role, *, address: str, now: datetime, actor: str, language: str, lists: list[str] | None = None
) -> None:
    """Send an invitation; raise AddressInvalid or AccountExists."""
    address = normalize_address(address)
    token = invite(role, address=address, now=now, actor=actor, lists=lists)
    outbox.enqueue(
        "staff_invitation",
        to=address,
        language=language,
        now=now,
        context={"url": invitation_url(token), "expires_at": (now + INVITATION_LIFETIME).isoformat()},
    )


def invitation_url(token: str) -> str:
    """Return the address of an invitation."""
    return f"{current_settings().base_url}/staff/first/{token}"


def get_invitation(token: str, *, now: datetime, lock: bool = False) -> StaffInvitation:
    """Return an invitation that can still be used; raise InvitationUsed."""
    statement = sa.select(StaffInvitation).where(
        StaffInvitation.token_hash == hash_secret(token.encode()),
        StaffInvitation.used_at.is_(None),
        StaffInvitation.expires_at > now,
    )
    found = db.session.scalar(statement.with_for_update() if lock else statement)
    if found is None or (found.address is None and has_staff()):
        raise InvitationUsed
    return found


def accept_invitation(invitation: StaffInvitation, *, address: str, password: str, now: datetime) -> Staff:
    """Make the account an invitation is for; its holder gives the undertaking by doing so.

    Raises AddressInvalid, PasswordRefused or AccountExists.
    """
    address = normalize_address(invitation.address or address)
    validate_password(password, address=address)
    row = {
        "email": address,
        "password": make_password_hash(password),
        "active": True,
        "fs_uniquifier": make_uniquifier(),
        "role": invitation.role,
        "lists": invitation.lists,
        "has_shortcuts": True,
        "created_at": now,
        "recovery_hashes": [],
        "undertaken_at": now,
        "undertaking_version": UNDERTAKING_VERSION,
    }
    if not insert_or_ignore(Staff, row):
        raise AccountExists
    invitation.used_at = now
    made = db.session.scalars(sa.select(Staff).where(Staff.email == address)).one()
    audit.record("staff account made", actor=f"staff:{made.id}", now=now, object=f"staff:{made.id}")
    return made


def record_undertaking(account: Staff, *, now: datetime) -> None:
    """Record that somebody undertakes to keep personal data confidential."""
    account.undertaken_at, account.undertaking_version = now, UNDERTAKING_VERSION
    audit.record("undertaking given", actor=f"staff:{account.id}", now=now, version=UNDERTAKING_VERSION)


# --- passwords --------------------------------------------------------------------------------------


def create_password_reset(account: Staff, *, now: datetime, actor: str) -> str:
    """Return the token of a link that replaces the password; an older link ends."""
    token = secrets.token_urlsafe(24)
    db.session.execute(sa.delete(StaffReset).where(StaffReset.staff_id == account.id))
    db.session.add(
        StaffReset(
            token_hash=hash_secret(token.encode()),
            staff_id=account.id,
            created_at=now,
            expires_at=now + RESET_LIFETIME,
        )
    )
    audit.record("password reset asked for", actor=actor, now=now, object=f"staff:{account.id}")
    return token


def send_password_reset(account: Staff, *, now: datetime, actor: str, language: str) -> None:
    """Send an account's owner a link that replaces the password."""
    token = create_password_reset(account, now=now, actor=actor)
    outbox.enqueue(
        "staff_reset",
        to=account.email,
        language=language,
        now=now,
        context={"url": reset_url(token), "expires_at": (now + RESET_LIFETIME).isoformat()},
    )


def reset_url(token: str) -> str:
    """Return the address of a link that replaces a password."""
    return f"{current_settings().base_url}/staff/reset/{token}"


def get_password_reset(token: str, *, now: datetime, lock: bool = False) -> StaffReset:
    """Return a reset that can still be used; raise ResetUsed."""
    statement = (
        sa.select(StaffReset)
        .join(StaffReset.account)
        .where(
            StaffReset.token_hash == hash_secret(token.encode()),
            StaffReset.used_at.is_(None),
            StaffReset.expires_at > now,
            Staff.active,
        )
    )
    found = db.session.scalar(statement.with_for_update(of=StaffReset) if lock else statement)
    if found is None:
        raise ResetUsed
    return found


def reset_password(reset: StaffReset, password: str, *, now: datetime) -> Staff:
    """Use a link up: the password is new, and every session ends. Raises PasswordRefused."""
    change_password(reset.account, password, now=now)
    sign_out_everywhere(reset.account, now=now)
    reset.used_at = now
    return reset.account


def change_password(account: Staff, password: str, *, now: datetime) -> None:
    """Replace a password; its owner is told by mail. Raises PasswordRefused."""
    validate_password(password, address=account.email)
    account.password = make_password_hash(password)
    audit.record("password changed", actor=f"staff:{account.id}", now=now, object=f"staff:{account.id}")
    notify_owner(account, "password", now=now)


# --- levels, closing, signing out -------------------------------------------------------------------


def change_role(account: Staff, role: Role, *, now: datetime, actor: str) -> None:
    """Give an account another level, at once: its sessions end. Raises LastAdministrator.

    A level that cannot be limited to lists ends such a limit.
    """
    if role is not Role.ADMIN:
        _require_another_admin(account)
    before, account.role = account.role, role
    if role not in LIMITABLE_ROLES:
        account.lists = None
    sign_out_everywhere(account, now=now)
    audit.record(
        "staff level changed",
        actor=actor,
        now=now,
        object=f"staff:{account.id}",
        before=before.value,
        after=role.value,
    )


def close_account(account: Staff, *, now: datetime, actor: str) -> None:
    """Close an account at once. Its row stays: the audit log refers to it."""
    _require_another_admin(account)
    account.active, account.closed_at = False, now
    sign_out_everywhere(account, now=now)
    execute_dml(sa.delete(StaffReset).where(StaffReset.staff_id == account.id))
    restore_journal.append_before_commit(journal_entry(account, restore_journal.ACCOUNT_CLOSED, now))
    audit.record("staff account closed", actor=actor, now=now, object=f"staff:{account.id}")


def reopen_account(account: Staff, *, now: datetime, actor: str) -> None:
    """Let a closed account in again; raise AccountCleared."""
    if account.cleared_at is not None:
        raise AccountCleared
    account.active, account.closed_at = True, None
    restore_journal.append_after_commit(journal_entry(account, restore_journal.ACCOUNT_OPENED, now))
    audit.record("staff account reopened", actor=actor, now=now, object=f"staff:{account.id}")


def journal_entry(account: Staff, act: str, now: datetime) -> JournalEntry:
    """Return the restore journal's entry on an account: its id alone."""
    return JournalEntry(now, f"staff:{account.id}", act, account.id, account.created_at)


def sign_out_everywhere(account: Staff, *, now: datetime) -> int:
    """End every session of an account, and return how many there were."""
    account.fs_uniquifier = make_uniquifier()
    return sessions.end_sessions(account, now=now)


def notify_owner(account: Staff, what: str, *, now: datetime) -> None:
    """Mail an account's owner that something about it has changed."""
    outbox.enqueue(
        "staff_changed",
        to=account.email,
        language=current_settings().languages[0],
        now=now,
        context={"what": what, "changed_at": now.isoformat()},
    )


def _require_another_admin(account: Staff) -> None:
    if account.role is not Role.ADMIN or not account.active:
        return
    # All of them locked, so that two administrators cannot remove each other at the same moment.
    admins = sa.select(Staff.id).where(Staff.role == Role.ADMIN, Staff.active).order_by(Staff.id)
    if set(db.session.scalars(admins.with_for_update())) <= {account.id}:
        raise LastAdministrator
