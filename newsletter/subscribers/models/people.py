"""Tables of lists, subscribers, subscriptions and the search index of addresses."""

import enum
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from newsletter import retention
from newsletter.db import Base
from newsletter.retention import person_reference, personal_data

# Ids that links in mails contain are never reused, on SQLite as on PostgreSQL: an old link of an erased
# person must not open the details of another.
AUTOINCREMENT = {"sqlite_autoincrement": True}


class MailingList(Base):
    """One newsletter in one language."""

    __tablename__ = "lists"
    __table_args__ = AUTOINCREMENT

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    language: Mapped[str]
    #: Shown beside the form; may be empty.
    topics: Mapped[str] = mapped_column(default="")
    frequency: Mapped[str] = mapped_column(default="")
    #: Its newsletters are in the public archive.
    is_public: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]


class TrackingState(enum.Enum):
    """A person's choice about tracking of opens and clicks."""

    UNKNOWN = "unknown"
    REFUSED = "refused"
    GRANTED = "granted"


class Subscriber(Base):
    """A person we write to. Identified by the address alone; no name or other profile data."""

    __tablename__ = "subscribers"
    __table_args__ = AUTOINCREMENT

    id: Mapped[int] = mapped_column(primary_key=True)
    #: As given, the domain as A-label.
    address: Mapped[str] = mapped_column(info=personal_data(retention.SUBSCRIPTION))
    #: Casefolded address; unique.
    address_key: Mapped[str] = mapped_column(unique=True, info=personal_data(retention.SUBSCRIPTION))
    #: The keyed hash of suppressions, so that the database can join on it.
    address_hash: Mapped[str] = mapped_column(index=True, info=personal_data(retention.SUBSCRIPTION))
    language: Mapped[str]
    tracking: Mapped[TrackingState] = mapped_column(default=TrackingState.UNKNOWN)
    #: When the person chose; NULL while ``tracking`` is unknown.
    tracking_chosen_at: Mapped[datetime | None]
    #: Set while processing is restricted (GDPR Art. 18): no mail, no tracking, no purge.
    restricted_at: Mapped[datetime | None]
    created_at: Mapped[datetime]

    subscriptions: Mapped[list["Subscription"]] = relationship(
        back_populates="subscriber", passive_deletes=True, order_by="Subscription.list_id"
    )


class AddressPart(Base):
    """Search index of addresses: each address from the beginning of each of its words.

    An index of substrings would need a PostgreSQL extension, or would keep what was erased.
    """

    __tablename__ = "address_parts"
    # Collation "C" compares bytes on both engines, so that a prefix is a range of the index.
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
    """The status of a subscription."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    UNSUBSCRIBED = "unsubscribed"


class Subscription(Base):
    """One subscriber on one list. An unsubscribed row is kept until the purge."""

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
    #: When the last unsubscribe receipt was enqueued; NULL when none was.
    receipt_at: Mapped[datetime | None]

    subscriber: Mapped[Subscriber] = relationship(back_populates="subscriptions")
    mailing_list: Mapped[MailingList] = relationship(lazy="joined", innerjoin=True)
