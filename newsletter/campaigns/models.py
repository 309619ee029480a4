"""Tables of campaigns, editions, pictures and totals."""

import enum
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from newsletter.db import Base


class CampaignStatus(enum.Enum):
    """The status of a campaign."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    PAUSED = "paused"
    SENT = "sent"
    CANCELLED = "cancelled"


class HeldReason(enum.Enum):
    """Why a scheduled campaign was not started."""

    #: Found hours after its time: after downtime, or in a restored backup.
    LATE = "late"
    #: The preflight failed at its time.
    REFUSED = "refused"


class Campaign(Base):
    """One issue of a newsletter."""

    __tablename__ = "campaigns"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - links in old mails name it

    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[CampaignStatus] = mapped_column(default=CampaignStatus.DRAFT, index=True)
    created_at: Mapped[datetime]
    #: Planned start; NULL means at once.
    scheduled_at: Mapped[datetime | None]
    #: Set on a scheduled campaign that waits for a decision by staff; NULL otherwise.
    held_reason: Mapped[HeldReason | None]
    #: The actor who proposed to send it, with SECOND_PERSON; NULL when nobody did.
    proposed_by: Mapped[str | None]
    #: The administrator who overrode the preflight; NULL when nobody did.
    overridden_by: Mapped[str | None]
    #: The send window in minutes; NULL for none.
    spread_minutes: Mapped[int | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    #: Why the circuit breaker or reputation guard paused the campaign, and the reply of the server; both
    #: NULL when they did not.
    pause_reason: Mapped[str | None]
    pause_reply: Mapped[str | None]

    editions: Mapped[list["Edition"]] = relationship(back_populates="campaign", order_by="Edition.id")
    list_ids: Mapped[list["CampaignList"]] = relationship(order_by="CampaignList.list_id")
    totals: Mapped["CampaignTotals"] = relationship(lazy="joined", innerjoin=True)

    @property
    def subject(self) -> str:
        """The subject of its first edition, as shown to staff."""
        return self.editions[0].subject

    def edition_for(self, language: str) -> "Edition":
        """Return the edition for a reader of this language; the first one where there is none."""
        return next((edition for edition in self.editions if edition.language == language), self.editions[0])


class CampaignList(Base):
    """A list that a campaign goes to."""

    __tablename__ = "campaign_lists"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"), primary_key=True)


class Edition(Base):
    """A campaign in one language. ``compiled`` is set once, when sending starts."""

    __tablename__ = "editions"
    __table_args__ = (UniqueConstraint("campaign_id", "language"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"))
    language: Mapped[str]
    subject: Mapped[str]
    #: The line a mailbox shows beside the subject; may be empty.
    preview: Mapped[str] = mapped_column(default="")
    body: Mapped[str]
    #: What looks like a placeholder, and somebody has said that readers shall see it as it stands.
    confirmed_words: Mapped[list[str]] = mapped_column(sa.JSON, default=list, server_default="[]")
    #: Incremented by each save, for optimistic locking.
    version: Mapped[int] = mapped_column(default=1)
    #: Time and actor of the last save; NULL before the first.
    saved_at: Mapped[datetime | None]
    saved_by: Mapped[str | None]
    #: The compiled MIME template; NULL until sending starts.
    compiled: Mapped[bytes | None] = mapped_column(deferred=True)

    campaign: Mapped[Campaign] = relationship(back_populates="editions")


class Picture(Base):
    """A picture of newsletters. Immutable and never deleted: sent mails show it."""

    __tablename__ = "pictures"

    #: Hash of its content, dimensions and suffix, as in its URL.
    name: Mapped[str] = mapped_column(primary_key=True)
    data: Mapped[bytes]
    uploaded_at: Mapped[datetime]
    uploaded_by: Mapped[str]


class CampaignTotals(Base):
    """The totals of a campaign: kept after subscribers and deliveries are purged."""

    __tablename__ = "campaign_totals"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    recipients: Mapped[int] = mapped_column(default=0)
    accepted: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    bounced: Mapped[int] = mapped_column(default=0)
    complained: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column(default=0)
    uncertain: Mapped[int] = mapped_column(default=0)
    #: Queued deliveries that wait for a retry; updated each minute while the campaign is sent.
    deferred: Mapped[int] = mapped_column(default=0, server_default=sa.text("0"))
    unsubscribed: Mapped[int] = mapped_column(default=0)
    #: Accepted deliveries to people who allow tracking: the base of every rate.
    measured: Mapped[int] = mapped_column(default=0)
    opens_human: Mapped[int] = mapped_column(default=0)
    opens_machine: Mapped[int] = mapped_column(default=0)
    opens_unique: Mapped[int] = mapped_column(default=0)
    clicks_human: Mapped[int] = mapped_column(default=0)
    clicks_machine: Mapped[int] = mapped_column(default=0)
    clicks_unique: Mapped[int] = mapped_column(default=0)
    #: When the purge deleted the readers; unique counts are closed since then.
    uniques_closed_at: Mapped[datetime | None]
