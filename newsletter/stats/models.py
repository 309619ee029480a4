"""Roll-up tables: figures as plain numbers, which stay when people and raw records are deleted."""

from datetime import date, datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.db import Base
from newsletter.subscribers.models import FunnelStep
from newsletter.tracking.models import EventKind, MachineClass


class CampaignHour(Base):
    """What happened to a campaign within one hour (UTC)."""

    __tablename__ = "campaign_hours"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own class-level setting

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    opens_human: Mapped[int] = mapped_column(default=0)
    opens_machine: Mapped[int] = mapped_column(default=0)
    #: People whose first open fell into this hour.
    opens_unique: Mapped[int] = mapped_column(default=0)
    clicks_human: Mapped[int] = mapped_column(default=0)
    clicks_machine: Mapped[int] = mapped_column(default=0)
    clicks_unique: Mapped[int] = mapped_column(default=0)


class CampaignClass(Base):
    """Opens or clicks of a campaign by who made them."""

    __tablename__ = "campaign_classes"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[EventKind] = mapped_column(primary_key=True)
    machine_class: Mapped[MachineClass] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(default=0)


class CampaignGroup(Base):
    """A campaign's figures for one language, list or mailbox provider."""

    __tablename__ = "campaign_groups"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    #: "language", "list" or "provider".
    dimension: Mapped[str] = mapped_column(primary_key=True)
    #: A language's code, a list's number, a provider's name; "" for all providers too small to name.
    name: Mapped[str] = mapped_column(primary_key=True)
    recipients: Mapped[int] = mapped_column(default=0)
    accepted: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    measured: Mapped[int] = mapped_column(default=0)
    unsubscribed: Mapped[int] = mapped_column(default=0)
    opens_unique: Mapped[int] = mapped_column(default=0)
    clicks_unique: Mapped[int] = mapped_column(default=0)
    counted_at: Mapped[datetime]


class FunnelMonth(Base):
    """The funnel of a month that is over, so that years of days need not be added up for a page."""

    __tablename__ = "funnel_months"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own class-level setting

    #: Its first day.
    month: Mapped[date] = mapped_column(primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"), primary_key=True, autoincrement=False)
    language: Mapped[str] = mapped_column(primary_key=True)
    form_host: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[FunnelStep] = mapped_column(primary_key=True)
    count: Mapped[int]


class ListDay(Base):
    """A list on one day of the business time zone."""

    __tablename__ = "list_days"

    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    joined: Mapped[int] = mapped_column(default=0)
    left: Mapped[int] = mapped_column(default=0)
    #: Confirmed subscriptions when it was last counted.
    members: Mapped[int] = mapped_column(default=0)
    counted_at: Mapped[datetime]
