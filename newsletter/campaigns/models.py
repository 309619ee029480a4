"""Campaigns, their editions, and the totals that outlive everything else."""

import enum
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from newsletter.db import Base


class CampaignStatus(enum.Enum):
    """A campaign's life."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    PAUSED = "paused"
    SENT = "sent"
    CANCELLED = "cancelled"


class HeldReason(enum.Enum):
    """Why a schedule was not carried out by itself."""

    #: Found hours after its time: after downtime, or in a copy that was restored.
    LATE = "late"
    #: It could not be sent as it was when its time came.
    REFUSED = "refused"


class Campaign(Base):
    """One issue, from draft to sent."""

    __tablename__ = "campaigns"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - links in old mails name it

    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[CampaignStatus] = mapped_column(default=CampaignStatus.DRAFT, index=True)
    created_at: Mapped[datetime]
    #: When it is to begin; NULL means at once.
    scheduled_at: Mapped[datetime | None]
    #: Set on a scheduled campaign that waits for a person to decide; NULL otherwise.
    held_reason: Mapped[HeldReason | None]
    #: Who asked for it to be sent, where SECOND_PERSON wants another to agree; NULL when nobody has.
    proposed_by: Mapped[str | None]
    #: The administrator who let it go although the preflight found something; NULL when nobody did.
    overridden_by: Mapped[str | None]
    #: Over how many minutes its recipients are spread; NULL means that all are written to at once.
    spread_minutes: Mapped[int | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    #: What the breaker found wrong on our side when it paused the campaign (a ``Fault``), and what the
    #: server said; both NULL when it did not.
    pause_reason: Mapped[str | None]
    pause_reply: Mapped[str | None]

    editions: Mapped[list["Edition"]] = relationship(back_populates="campaign", order_by="Edition.id")
    list_ids: Mapped[list["CampaignList"]] = relationship(order_by="CampaignList.list_id")
    totals: Mapped["CampaignTotals"] = relationship(lazy="joined", innerjoin=True)

    @property
    def subject(self) -> str:
        """The subject of its first edition: what staff know it by."""
        return self.editions[0].subject

    def edition_for(self, language: str) -> "Edition":
        """The edition a reader of this language gets: the first one where there is none in it."""
        return next((edition for edition in self.editions if edition.language == language), self.editions[0])


class CampaignList(Base):
    """A list that a campaign goes to."""

    __tablename__ = "campaign_lists"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"), primary_key=True)


class Edition(Base):
    """A campaign in one language. ``compiled`` is set once, when sending begins."""

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
    #: Grows by one with each saving, so that nobody overwrites what they have not seen.
    version: Mapped[int] = mapped_column(default=1)
    #: When and by whom it was last changed; NULL since it was made.
    saved_at: Mapped[datetime | None]
    saved_by: Mapped[str | None]
    #: The message with holes for what differs between people; NULL until sending begins.
    compiled: Mapped[bytes | None] = mapped_column(deferred=True)

    campaign: Mapped[Campaign] = relationship(back_populates="editions")


class Picture(Base):
    """A picture for newsletters. Never changed and never removed: mails that went out show it."""

    __tablename__ = "pictures"

    #: The hash of its bytes, its size and its kind, as in its address.
    name: Mapped[str] = mapped_column(primary_key=True)
    data: Mapped[bytes]
    uploaded_at: Mapped[datetime]
    uploaded_by: Mapped[str]


class CampaignTotals(Base):
    """A campaign's figures as plain numbers: they stay when people and their records have gone."""

    __tablename__ = "campaign_totals"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    recipients: Mapped[int] = mapped_column(default=0)
    accepted: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    bounced: Mapped[int] = mapped_column(default=0)
    complained: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column(default=0)
    uncertain: Mapped[int] = mapped_column(default=0)
    #: Of those on their way, how many wait for another try; counted each minute while it is sent.
    deferred: Mapped[int] = mapped_column(default=0, server_default=sa.text("0"))
    unsubscribed: Mapped[int] = mapped_column(default=0)
    #: Of the accepted, those sent to someone who allowed measuring: the base of every rate.
    measured: Mapped[int] = mapped_column(default=0)
    opens_human: Mapped[int] = mapped_column(default=0)
    opens_machine: Mapped[int] = mapped_column(default=0)
    opens_unique: Mapped[int] = mapped_column(default=0)
    clicks_human: Mapped[int] = mapped_column(default=0)
    clicks_machine: Mapped[int] = mapped_column(default=0)
    clicks_unique: Mapped[int] = mapped_column(default=0)
    #: Since then nobody remembers who opened or clicked, so nobody is counted as a new reader.
    uniques_closed_at: Mapped[datetime | None]
