"""Tables of staff: accounts, passkeys, invitations, password resets, sessions, API tokens."""

import enum
from datetime import datetime

import sqlalchemy as sa
from flask_security import RoleMixin, UserMixin
from sqlalchemy import JSON, BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship

from newsletter import retention
from newsletter.db import Base
from newsletter.retention import person_reference, personal_data


class Role(enum.Enum):
    """A staff member's level."""

    VIEWER = "viewer"
    EDITOR = "editor"
    SENDER = "sender"
    PRIVACY = "privacy"
    ADMIN = "admin"


#: Levels that can be limited to some lists. Who answers for people answers for all of each.
LIMITABLE_ROLES = frozenset({Role.VIEWER, Role.EDITOR, Role.SENDER})


class NamedRole(RoleMixin):
    """A role as Flask-Security wants to see it."""

    def __init__(self, name: str) -> None:
        self.name = name


class StaffPasskey(Base):
    """A key with which somebody's phone, computer or security key signs in. Only its public half is here."""

    __tablename__ = "staff_passkeys"

    id: Mapped[int] = mapped_column(primary_key=True)
    staff_id: Mapped[int] = mapped_column(
        ForeignKey("staff.id", ondelete="CASCADE"), index=True, info=person_reference(retention.STAFF)
    )
    #: What its device calls it, in URL-safe base64.
    credential: Mapped[str] = mapped_column(unique=True, info=personal_data(retention.STAFF))
    #: In COSE's form (RFC 9053).
    public_key: Mapped[bytes] = mapped_column(info=personal_data(retention.STAFF))
    #: How often it has signed, as its device says; those that are kept on several devices always say 0.
    sign_count: Mapped[int] = mapped_column(BigInteger)
    #: What its owner calls it.
    name: Mapped[str] = mapped_column(info=personal_data(retention.STAFF))
    created_at: Mapped[datetime]
    #: NULL until it has been used.
    last_used_at: Mapped[datetime | None]


class Staff(Base, UserMixin):
    """One person who may log in. Flask-Security names most of the columns."""

    __tablename__ = "staff"

    id: Mapped[int] = mapped_column(primary_key=True)
    #: Once the account has been cleared, "staff:7" stands here, as in the audit log.
    email: Mapped[str] = mapped_column(unique=True, info=personal_data(retention.STAFF))
    #: Argon2id.
    password: Mapped[str] = mapped_column(info=personal_data(retention.STAFF))
    #: False once the account has been closed; its row stays, as the audit log names it.
    active: Mapped[bool] = mapped_column(default=True)
    #: When it was closed; NULL while it is open.
    closed_at: Mapped[datetime | None]
    #: When everything in it that tells who it was went; NULL until then.
    cleared_at: Mapped[datetime | None]
    #: Changing it ends every session of this person.
    fs_uniquifier: Mapped[str] = mapped_column(unique=True)
    role: Mapped[Role]
    created_at: Mapped[datetime]
    #: The authenticator's secret, encrypted; NULL until it has been set up.
    totp_secret: Mapped[str | None] = mapped_column(info=personal_data(retention.STAFF))
    #: The time step of the last code that was accepted: no code works twice.
    totp_counter: Mapped[int | None]
    #: Hashes of the recovery codes that are left.
    recovery_hashes: Mapped[list[str]] = mapped_column(
        JSON, default=list, info=personal_data(retention.STAFF)
    )
    #: What devices with a passkey call this account, telling nothing of it; NULL until the first passkey.
    passkey_handle: Mapped[str | None] = mapped_column(info=personal_data(retention.STAFF))
    #: The provider of OpenID Connect and its number for this person; NULL until first used.
    openid_subject: Mapped[str | None] = mapped_column(
        index=True, unique=True, info=personal_data(retention.STAFF)
    )
    #: When the undertaking to keep personal data confidential was given, and to which words.
    undertaken_at: Mapped[datetime | None]
    undertaking_version: Mapped[int | None]
    #: The slugs of the lists this account is limited to; NULL means all.
    lists: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    #: Whether single keys do things on the pages.
    has_shortcuts: Mapped[bool] = mapped_column(default=True)
    #: Read with the row, so that a list of accounts asks once.
    passkey_count: Mapped[int] = column_property(
        sa.select(sa.func.count(StaffPasskey.id))
        .where(StaffPasskey.staff_id == id)  # noqa: A003 - the column above
        .correlate_except(StaffPasskey)
        .scalar_subquery()
    )

    @property
    def roles(self) -> list[RoleMixin]:  # type: ignore[override] # one role, so nothing to append to
        """The role, as Flask-Security asks for it."""
        return [NamedRole(self.role.value)]

    @property
    def has_authenticator(self) -> bool:
        """True once an app shows codes for this account."""
        return self.totp_secret is not None

    @property
    def has_second_step(self) -> bool:
        """True once the password alone opens nothing: signing in takes a code as well, or a passkey."""
        return self.has_authenticator or self.passkey_count > 0


class StaffInvitation(Base):
    """A one-time link that makes an account. Its token is kept as a hash."""

    __tablename__ = "staff_invitations"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    #: Whose account it makes; NULL lets the holder choose, for the very first.
    address: Mapped[str | None] = mapped_column(info=personal_data(retention.INVITATION))
    role: Mapped[Role]
    #: The slugs of the lists its account is limited to; NULL means all.
    lists: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class StaffReset(Base):
    """A one-time link with which an account gets a new password. Its token is kept as a hash."""

    __tablename__ = "staff_resets"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    staff_id: Mapped[int] = mapped_column(
        ForeignKey("staff.id", ondelete="CASCADE"), index=True, info=person_reference(retention.INVITATION)
    )
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]

    account: Mapped[Staff] = relationship(lazy="joined", innerjoin=True)


class StaffSession(Base):
    """One browser in which somebody is signed in. The cookie alone opens nothing: this row does."""

    __tablename__ = "staff_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    staff_id: Mapped[int] = mapped_column(
        ForeignKey("staff.id", ondelete="CASCADE"), index=True, info=person_reference(retention.STAFF_SESSION)
    )
    #: The keyed hash of the network it was begun from, to know it again.
    network: Mapped[str] = mapped_column(info=personal_data(retention.STAFF_SESSION))
    #: What the browser calls itself.
    agent: Mapped[str] = mapped_column(info=personal_data(retention.STAFF_SESSION))
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    #: When its owner last gave the password or a code.
    proved_at: Mapped[datetime]
    #: NULL while it is open.
    ended_at: Mapped[datetime | None]


class ApiToken(Base):
    """A key for a program. Shown once, kept as a hash, and never more than what it was made for."""

    __tablename__ = "api_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    #: What it is for, so that it can be told from the others.
    name: Mapped[str]
    token_hash: Mapped[str] = mapped_column(unique=True)
    #: Its first letters, to recognise it by.
    prefix: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(JSON)
    #: The slugs of the lists it may touch; NULL means all.
    lists: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    #: Who made it: "staff:7" or "console".
    made_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
