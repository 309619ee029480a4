"""Accounts are personal, and only the person ever knows the password.

An account begins as an invitation: a link that works once and lets its holder choose a password.
"""

import secrets
import unicodedata
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter import audit
from newsletter.db import db, insert_or_ignore
from newsletter.errors import N_, LinkExpired, NewsletterError
from newsletter.staff.access import SHORTEST_PASSWORD, make_password_hash, make_uniquifier, normalize_address
from newsletter.staff.models import Role, Staff, StaffInvitation
from newsletter.tokens import hash_secret

INVITATION_LASTS = timedelta(hours=24)


class PasswordTooShort(NewsletterError):
    """Length is the one rule."""

    message = N_("Choose a password of at least 12 characters.")


class AccountExists(NewsletterError):
    """The address has an account."""

    message = N_("There is already an account with this address.")


def has_staff() -> bool:
    """Tell whether anyone can log in."""
    return db.session.scalar(sa.select(Staff.id).limit(1)) is not None


def invite(role: Role, *, address: str | None, now: datetime, actor: str) -> str:
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
            created_at=now,
            expires_at=now + INVITATION_LASTS,
        )
    )
    audit.record("staff invited", actor=actor, now=now, role=role.value)
    return token


def name_of(actor: str) -> str:
    """Return what staff call the one who did something: an address, or "console" and the like."""
    kind, _colon, number = actor.partition(":")
    found = db.session.get(Staff, int(number)) if kind == "staff" and number.isdecimal() else None
    return found.email if found is not None else kind


def find_invitation(token: str, *, now: datetime, lock: bool = False) -> StaffInvitation:
    """Return an invitation that can still be used; raise LinkExpired."""
    statement = sa.select(StaffInvitation).where(
        StaffInvitation.token_hash == hash_secret(token.encode()),
        StaffInvitation.used_at.is_(None),
        StaffInvitation.expires_at > now,
    )
    found = db.session.scalar(statement.with_for_update() if lock else statement)
    if found is None or (found.address is None and has_staff()):
        raise InvitationUsed
    return found


class InvitationUsed(LinkExpired):
    """Used, replaced or too old."""

    message = N_("This invitation is no longer valid. Ask for a new one.")


def accept_invitation(invitation: StaffInvitation, *, address: str, password: str, now: datetime) -> Staff:
    """Make the account an invitation is for.

    Raises AddressInvalid, PasswordTooShort or AccountExists.
    """
    address = normalize_address(invitation.address or address)
    if len(unicodedata.normalize("NFC", password)) < SHORTEST_PASSWORD:
        raise PasswordTooShort
    row = {
        "email": address,
        "password": make_password_hash(password),
        "active": True,
        "fs_uniquifier": make_uniquifier(),
        "role": invitation.role,
        "created_at": now,
    }
    if not insert_or_ignore(Staff, row):
        raise AccountExists
    invitation.used_at = now
    made = db.session.scalars(sa.select(Staff).where(Staff.email == address)).one()
    audit.record("staff account made", actor=f"staff:{made.id}", now=now, object=f"staff:{made.id}")
    return made
