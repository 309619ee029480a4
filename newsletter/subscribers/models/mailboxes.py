"""What concerns a mailbox: addresses not to be written to, and links sent for one act."""

import enum
from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from newsletter import retention
from newsletter.db import Base
from newsletter.retention import person_reference, personal_data


class SuppressionReason(enum.Enum):
    """Why an address must not be written to."""

    NOT_REQUESTED = "not_requested"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    #: Objected to direct marketing; a later double opt-in of one's own ends it.
    OBJECTED = "objected"
    #: Wants no mail at all; only staff can lift it.
    BANNED = "banned"
    #: Its owner had another address when the database was lost; a restored copy does not know which.
    MOVED = "moved"


class Suppression(Base):
    """An address we must not write to again. It survives erasure, so it is kept as a keyed hash."""

    __tablename__ = "suppressions"

    #: HMAC-SHA-256 of the address key with SUPPRESSION_KEY, which no database or backup holds.
    address_hash: Mapped[str] = mapped_column(primary_key=True, info=person_reference(retention.SUPPRESSION))
    #: Which key made the hash.
    key_id: Mapped[str]
    reason: Mapped[SuppressionReason]
    created_at: Mapped[datetime]


class LinkPurpose(enum.Enum):
    """What a fresh link lets the mailbox's owner do."""

    #: Name another address.
    ADDRESS = "address"
    #: Prove that the other address is theirs too.
    NEW_ADDRESS = "new_address"
    #: Allow tracking, or be written to in another language.
    CHOICE = "choice"
    COPY = "copy"
    ERASURE = "erasure"


class FreshLink(Base):
    """A link sent to a mailbox for one act, soon and once. Forgotten a day later.

    ``token_hash`` is all we keep of the link itself.
    """

    __tablename__ = "fresh_links"

    id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(
        ForeignKey("subscribers.id", ondelete="CASCADE"), index=True, info=person_reference(retention.LINK)
    )
    purpose: Mapped[LinkPurpose]
    token_hash: Mapped[str] = mapped_column(unique=True)
    #: The address to prove; NULL for the other purposes.
    new_address: Mapped[str | None] = mapped_column(info=personal_data(retention.LINK))
    #: The language to write in from now on; NULL leaves it as it is.
    language: Mapped[str | None]
    allows_tracking: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(index=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
