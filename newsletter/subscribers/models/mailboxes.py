"""Tables about mailboxes: suppressions and one-time links."""

import enum
from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from newsletter import retention
from newsletter.db import Base
from newsletter.retention import person_reference, personal_data


class SuppressionReason(enum.Enum):
    """Why an address is suppressed."""

    NOT_REQUESTED = "not_requested"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    #: Objected to direct marketing (GDPR Art. 21(2)); a later double opt-in of the person lifts it.
    OBJECTED = "objected"
    #: Wants no mail at all; only staff can lift it.
    BANNED = "banned"
    #: Its owner had changed it when the database was lost; the restored copy does not know the new address.
    MOVED = "moved"


class Suppression(Base):
    """A suppressed address: no mail may be sent to it. Kept as a keyed hash, as it survives erasure."""

    __tablename__ = "suppressions"

    #: HMAC-SHA-256 of the address key with SUPPRESSION_KEY, which no database or backup holds.
    address_hash: Mapped[str] = mapped_column(primary_key=True, info=person_reference(retention.SUPPRESSION))
    #: Which key made the hash.
    key_id: Mapped[str]
    reason: Mapped[SuppressionReason]
    created_at: Mapped[datetime]


class LinkPurpose(enum.Enum):
    """What a one-time link allows the owner of the mailbox to do."""

    #: Enter a new address.
    ADDRESS = "address"
    #: Prove ownership of the new address.
    NEW_ADDRESS = "new_address"
    #: Allow tracking, or change the language of mails.
    CHOICE = "choice"
    COPY = "copy"
    ERASURE = "erasure"


class OneTimeLink(Base):
    """A one-time link sent to a mailbox. The row is deleted a day later.

    Only ``token_hash``, a hash of the secret, is stored.
    """

    __tablename__ = "fresh_links"

    id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(
        ForeignKey("subscribers.id", ondelete="CASCADE"), index=True, info=person_reference(retention.LINK)
    )
    purpose: Mapped[LinkPurpose]
    token_hash: Mapped[str] = mapped_column(unique=True)
    #: The address to be proved; NULL for other purposes.
    new_address: Mapped[str | None] = mapped_column(info=personal_data(retention.LINK))
    #: The new language of mails; NULL for no change.
    language: Mapped[str | None]
    allows_tracking: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(index=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
