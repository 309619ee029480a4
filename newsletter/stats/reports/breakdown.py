"""A campaign's figures broken down by time, machine class, language, list and mailbox provider."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

import sqlalchemy as sa

from newsletter.campaigns.models import Campaign
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.stats.models import CampaignClass, CampaignGroup, CampaignHour
from newsletter.subscribers.models import MailingList
from newsletter.tracking.models import EventKind, MachineClass

#: Hours shown one by one; after them days.
HOURLY_BUCKETS = 72
MEASURES = ("opens_human", "opens_machine", "opens_unique", "clicks_human", "clicks_machine", "clicks_unique")


@dataclass(slots=True)
class TimeBucket:
    """What happened within an hour, or a day of the business time zone."""

    begins: datetime
    opens_human: int = 0
    opens_machine: int = 0
    opens_unique: int = 0
    clicks_human: int = 0
    clicks_machine: int = 0
    clicks_unique: int = 0

    def add(self, row: CampaignHour) -> None:
        """Add an hour."""
        for name in MEASURES:
            setattr(self, name, getattr(self, name) + getattr(row, name))


@dataclass(frozen=True, slots=True)
class Timeline:
    """The first 72 hours and the days after them up to the last that saw anything, each with a span."""

    hours: Sequence[TimeBucket]
    days: Sequence[TimeBucket]

    @property
    def is_empty(self) -> bool:
        """True while nothing has happened."""
        return not any(getattr(span, name) for span in (*self.hours, *self.days) for name in MEASURES)


@dataclass(frozen=True, slots=True)
class SegmentFigures:
    """The people of one language, list or provider."""

    name: str
    recipients: int
    accepted: int
    failed: int
    measured: int
    unsubscribed: int
    opens_unique: int
    clicks_unique: int
    counted_at: datetime


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Opens and clicks of one machine class."""

    machine_class: MachineClass
    opens: int
    clicks: int


def timeline(campaign: Campaign, now: datetime) -> Timeline:
    """Return when a campaign was opened and clicked."""
    if campaign.started_at is None:
        return Timeline([], [])
    begin = campaign.started_at.replace(minute=0, second=0, microsecond=0)
    end = begin + timedelta(hours=HOURLY_BUCKETS)
    hours = [
        TimeBucket(begin + timedelta(hours=n))
        for n in range(HOURLY_BUCKETS)
        if begin + timedelta(hours=n) <= now
    ]
    by_hour = {span.begins: span for span in hours}
    days: dict[datetime, TimeBucket] = {}
    rows = db.session.scalars(
        sa.select(CampaignHour).where(CampaignHour.campaign_id == campaign.id).order_by(CampaignHour.hour)
    )
    for row in rows:
        if row.hour >= end:
            local = row.hour.astimezone(current_settings().timezone).replace(hour=0)
            days.setdefault(local, TimeBucket(local)).add(row)
        elif hours:
            # A clock a little behind ours may put a hit before the start.
            by_hour.get(row.hour, hours[0]).add(row)
    return Timeline(hours, _fill_missing_days(days))


def _fill_missing_days(days: dict[datetime, TimeBucket]) -> list[TimeBucket]:
    """Return every day between the first and the last: a quiet week must look like one."""
    if not days:
        return []
    zone, last = current_settings().timezone, max(days)
    dates = range((last.date() - min(days).date()).days + 1)
    each = [datetime.combine(min(days).date() + timedelta(days=n), time(), zone) for n in dates]
    return [days.get(day) or TimeBucket(day) for day in each]


def segment_figures(campaign: Campaign) -> dict[str, list[SegmentFigures]]:
    """Return a campaign by language, list and provider, the largest first, the unnamed last."""
    names = {
        str(list_id): name
        for list_id, name in db.session.execute(sa.select(MailingList.id, MailingList.name))
    }
    found: defaultdict[str, list[SegmentFigures]] = defaultdict(list)
    rows = db.session.scalars(
        sa.select(CampaignGroup)
        .where(CampaignGroup.campaign_id == campaign.id, CampaignGroup.recipients > 0)
        .order_by(sa.case((CampaignGroup.name == "", 1), else_=0), CampaignGroup.recipients.desc())
        .execution_options(populate_existing=True)
    )
    for row in rows:
        name = names.get(row.name, row.name) if row.dimension == "list" else row.name
        found[row.dimension].append(
            SegmentFigures(
                name, row.recipients, row.accepted, row.failed, row.measured, row.unsubscribed,
                row.opens_unique, row.clicks_unique, row.counted_at,
            )
        )  # fmt: skip
    return dict(found)


def class_figures(campaign: Campaign) -> list[ClassFigures]:
    """Return a campaign's opens and clicks by who made them, in the order of the classes."""
    counts = {
        (row.kind, row.machine_class): row.count
        for row in db.session.scalars(
            sa.select(CampaignClass)
            .where(CampaignClass.campaign_id == campaign.id)
            .execution_options(populate_existing=True)
        )
    }
    return [
        ClassFigures(
            made_by, counts.get((EventKind.OPEN, made_by), 0), counts.get((EventKind.CLICK, made_by), 0)
        )
        for made_by in MachineClass
    ]
