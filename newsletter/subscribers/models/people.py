"""Lists, those who subscribe, and their subscriptions."""

import enum
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from newsletter import retention
from newsletter.db import Base
from newsletter.retention import person_reference, personal_data

# Ids of rows that mails point at are never used again, on SQLite as on PostgreSQL: an old link of a
# person who is gone must not open the next person's details.
NEVER_REUSED = {"sqlite_autoincrement": True}


class MailingList(Base):
    """One newsletter in one language."""

    __tablename__ = "lists"
    __table_args__ = NEVER_REUSED

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    language: Mapped[str]
    #: Shown beside the form; empty when nothing was written.
    topics: Mapped[str] = mapped_column(default="")
    frequency: Mapped[str] = mapped_column(default="")
    #: What went to it may be read by everybody in the archive.
    is_public: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]


class TrackingState(enum.Enum):
    """What a person said about measuring opens and clicks."""

    UNKNOWN = "unknown"
    REFUSED = "refused"
    GRANTED = "granted"


class Subscriber(Base):
    """The person we write to. Known by the address alone: no name, no birthday, nothing else."""

    __tablename__ = "subscribers"
    __table_args__ = NEVER_REUSED

    id: Mapped[int] = mapped_column(primary_key=True)
    #: As it was given, the domain as A-label.
    address: Mapped[str] = mapped_column(info=personal_data(retention.SUBSCRIPTION))
    #: Casefolded; two spellings of one address are one person.
    address_key: Mapped[str] = mapped_column(unique=True, info=personal_data(retention.SUBSCRIPTION))
    #: The keyed hash that suppressions are kept under, so that the database itself can compare.
    address_hash: Mapped[str] = mapped_column(index=True, info=personal_data(retention.SUBSCRIPTION))
    language: Mapped[str]
    tracking: Mapped[TrackingState] = mapped_column(default=TrackingState.UNKNOWN)
    #: When the person chose; NULL while unknown.
    tracking_chosen_at: Mapped[datetime | None]
    #: Set while processing is restricted (GDPR art. 18): no mail, no measuring, no purge.
    restricted_at: Mapped[datetime | None]
    created_at: Mapped[datetime]

    subscriptions: Mapped[list["Subscription"]] = relationship(
        back_populates="subscriber", passive_deletes=True, order_by="Subscription.list_id"
    )


class AddressPart(Base):
    """An address from one of its words on, so that staff find people by more than its beginning.

    Any other index of parts would need an extension of the database, or keep what was erased.
    """

    __tablename__ = "address_parts"
    # Compared byte by byte on both engines, so that "begins with" is a range of the index.
    __table_args__ = (sa.Index("ix_address_parts_subscriber_id", "subscriber_id"),)

    part: Mapped[str] = mapped_column(
        sa.String().with_variant(sa.String(collation="C"), "postgresql"),
        primary_key=True,
        info=personal_data(retention.SUBSCRIPTION),
    )
    subscriber_id: Mapped[int] = mapped_column(
        ForeignKey("subscribers.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        info=person_reference(retention.SUBSCRIPTION),
    )


class SubscriptionStatus(enum.Enum):
    """A subscription's life."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    UNSUBSCRIBED = "unsubscribed"


class Subscription(Base):
    """One subscriber on one list. An ended subscription keeps its row until the purge."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        UniqueConstraint("subscriber_id", "list_id"),
        sa.Index("ix_subscriptions_audience", "list_id", "status", "subscriber_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(
        ForeignKey("subscribers.id", ondelete="CASCADE"), info=person_reference(retention.SUBSCRIPTION)
    )
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"))
    status: Mapped[SubscriptionStatus] = mapped_column(default=SubscriptionStatus.PENDING)
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    unsubscribed_at: Mapped[datetime | None]
    #: When a receipt of leaving last went to the mailbox; NULL when none did.
    receipt_at: Mapped[datetime | None]

    subscriber: Mapped[Subscriber] = relationship(back_populates="subscriptions")
    mailing_list: Mapped[MailingList] = relationship(lazy="joined", innerjoin=True)
