"""A list's campaigns over time: their figures, the median rates, and when people open."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from statistics import median

import sqlalchemy as sa

from newsletter.campaigns import drafts
from newsletter.campaigns.models import Campaign, CampaignList
from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.stats.models import CampaignHour
from newsletter.stats.reports.campaign import Figures, totals_figures

#: How many campaigns of a list are looked back at.
MAX_CAMPAIGNS = 26
#: Hours of a day told apart in the map of best times.
HOURS_PER_COLUMN = 3
#: 1 January 1970 was a Thursday.
_EPOCH_WEEKDAY = 3


@dataclass(frozen=True, slots=True)
class MedianRates:
    """The median of some campaigns' rates; None where none has a base."""

    campaigns: int
    accepted_rate: float | None
    open_rate: float | None
    click_rate: float | None
    unsubscribed_rate: float | None
    complained_rate: float | None


@dataclass(frozen=True, slots=True)
class BestTime:
    """First opens by weekday (Monday first) and three hours of the day, in the business time zone."""

    counts: Sequence[Sequence[int]]

    @property
    def total(self) -> int:
        """How many first opens there are."""
        return sum(map(sum, self.counts))


def sent_campaigns(
    list_id: int,
    *,
    exclude: int | None = None,
    last: int = MAX_CAMPAIGNS,
    within: Sequence[str] | None = None,
) -> Sequence[Campaign]:
    """Return the newest campaigns that went to a list, newest first; with ``within`` to no others."""
    page = (
        sa.select(Campaign)
        .join(CampaignList, CampaignList.campaign_id == Campaign.id)
        .where(CampaignList.list_id == list_id, Campaign.started_at.is_not(None))
        .options(sa.orm.selectinload(Campaign.editions))
        .order_by(Campaign.started_at.desc(), Campaign.id.desc())
        .limit(last)
    )
    if exclude is not None:
        page = page.where(Campaign.id != exclude)
    if within is not None:
        page = page.where(drafts.goes_only_to(within))
    return db.session.scalars(page).unique().all()


def median_rates(chosen: Sequence[Campaign], now: datetime) -> MedianRates:
    """Return the median rates of some campaigns, usually a list's latest."""
    found = [totals_figures(campaign.totals, now) for campaign in chosen]
    return MedianRates(
        campaigns=len(found),
        accepted_rate=_median([figures.accepted_rate for figures in found]),
        open_rate=_median([figures.open_rate for figures in found]),
        click_rate=_median([figures.click_rate for figures in found]),
        unsubscribed_rate=_median([figures.unsubscribed_rate for figures in found]),
        complained_rate=_median([figures.complained_rate for figures in found]),
    )


def campaign_rates(figures: Figures) -> MedianRates:
    """Return one campaign's rates in the same form, for comparison."""
    return MedianRates(
        1,
        figures.accepted_rate,
        figures.open_rate,
        figures.click_rate,
        figures.unsubscribed_rate,
        figures.complained_rate,
    )


def best_time(campaigns: Sequence[Campaign]) -> BestTime:
    """Return when people opened these campaigns, each person once a campaign."""
    columns = 24 // HOURS_PER_COLUMN
    counts = [[0] * columns for _day in range(7)]
    if not campaigns:
        return BestTime(counts)
    since = min(campaign.started_at for campaign in campaigns if campaign.started_at)
    local = sa.cast(sa.extract("epoch", CampaignHour.hour), sa.BigInteger) + _utc_offset_expression(
        since, utcnow()
    )
    slot = local // sa.literal_column(str(HOURS_PER_COLUMN * 3600), sa.Integer()) % (7 * columns)
    rows = db.session.execute(
        sa.select(slot, sa.func.sum(CampaignHour.opens_unique))
        .where(
            CampaignHour.campaign_id.in_([campaign.id for campaign in campaigns]),
            CampaignHour.opens_unique > 0,
        )
        .group_by(slot)
    )
    for number, opens in rows:
        day, column = divmod(int(number), columns)
        counts[(day + _EPOCH_WEEKDAY) % 7][column] += int(opens)
    return BestTime(counts)


def _utc_offset_expression(since: datetime, until: datetime) -> sa.ColumnElement[int]:
    """Return by how many seconds the business time zone is ahead of UTC in a row's hour.

    So the database itself can add up by local time: SQLite knows no time zones.
    """
    *changes, (_end, last) = _utc_offsets(since.date(), until.date(), current_settings().timezone)
    cases = [(CampaignHour.hour < end, seconds) for end, seconds in changes]
    return sa.case(*cases, else_=last) if cases else sa.literal(last)


@lru_cache(maxsize=100)
def _utc_offsets(since: date, until: date, zone: tzinfo) -> list[tuple[datetime, int]]:
    """Return until when the zone is ahead of UTC by how many seconds, a day beyond both ends."""
    hour = datetime.combine(since, time(), UTC) - timedelta(days=1)
    end = datetime.combine(until, time(), UTC) + timedelta(days=2)
    found = []
    while hour < end:
        now, step = _utc_offset(hour, zone), timedelta(days=1)
        if _utc_offset(hour + step, zone) != now:
            step = timedelta(hours=1)  # the clocks change within a day: at which hour?
            if _utc_offset(hour + step, zone) != now:
                found.append((hour + step, now))
        hour += step
    return [*found, (end, _utc_offset(end, zone))]


def _utc_offset(at: datetime, zone: tzinfo) -> int:
    return int((at.astimezone(zone).utcoffset() or timedelta()).total_seconds())


def _median(rates: Sequence[float | None]) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return median(known) if known else None
