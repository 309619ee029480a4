"""Staff accounts and the invitations that make them."""

import enum
from datetime import datetime

from flask_security import RoleMixin, UserMixin
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.db import Base


class Role(enum.Enum):
    """A staff member's level."""

    VIEWER = "viewer"
    EDITOR = "editor"
    SENDER = "sender"
    PRIVACY = "privacy"
    ADMIN = "admin"


class NamedRole(RoleMixin):
    """A role as Flask-Security wants to see it."""

    def __init__(self, name: str) -> None:
        self.name = name


class Staff(Base, UserMixin):
    """One person who may log in. Flask-Security names most of the columns."""

    __tablename__ = "staff"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    #: Argon2id.
    password: Mapped[str]
    active: Mapped[bool] = mapped_column(default=True)
    #: Changing it ends every session of this person.
    fs_uniquifier: Mapped[str] = mapped_column(unique=True)
    role: Mapped[Role]
    created_at: Mapped[datetime]

    @property
    def roles(self) -> list[RoleMixin]:  # type: ignore[override] # one role, so nothing to append to
        """The role, as Flask-Security asks for it."""
        return [NamedRole(self.role.value)]


class StaffInvitation(Base):
    """A one-time link that makes an account. Its token is kept as a hash."""

    __tablename__ = "staff_invitations"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    #: Whose account it makes; NULL lets the holder choose, for the very first.
    address: Mapped[str | None]
    role: Mapped[Role]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
