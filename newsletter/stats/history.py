"""What a list's campaigns did over time: their subjects, the usual, and when people open."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

import sqlalchemy as sa

from newsletter.campaigns import drafts
from newsletter.campaigns.models import Campaign, CampaignList
from newsletter.config import settings
from newsletter.db import db
from newsletter.stats.figures import Figures, totals_figures
from newsletter.stats.models import CampaignHour

#: How many campaigns of a list are looked back at.
LAST = 26
#: Hours of a day told apart in the map of best times.
HOURS_A_COLUMN = 3


@dataclass(frozen=True, slots=True)
class Usual:
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
    list_id: int, *, but: int | None = None, last: int = LAST, within: Sequence[str] | None = None
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
    if but is not None:
        page = page.where(Campaign.id != but)
    if within is not None:
        page = page.where(drafts.within(within))
    return db.session.scalars(page).unique().all()


def usual(
    list_id: int, now: datetime, *, but: int | None = None, within: Sequence[str] | None = None
) -> Usual:
    """Return the median of a list's last campaigns, one of them left out."""
    chosen = sent_campaigns(list_id, but=but, within=within)
    found = [totals_figures(campaign.totals, now) for campaign in chosen]
    return Usual(
        campaigns=len(found),
        accepted_rate=_median([figures.accepted_rate for figures in found]),
        open_rate=_median([figures.open_rate for figures in found]),
        click_rate=_median([figures.click_rate for figures in found]),
        unsubscribed_rate=_median([figures.unsubscribed_rate for figures in found]),
        complained_rate=_median([figures.complained_rate for figures in found]),
    )


def as_usual(figures: Figures) -> Usual:
    """Return one campaign's rates in the form of the usual, to stand beside another's."""
    return Usual(
        1,
        figures.accepted_rate,
        figures.open_rate,
        figures.click_rate,
        figures.unsubscribed_rate,
        figures.complained_rate,
    )


def best_time(list_id: int, *, within: Sequence[str] | None = None) -> BestTime:
    """Return when people opened the list's last campaigns, each person once a campaign."""
    chosen = [campaign.id for campaign in sent_campaigns(list_id, within=within)]
    counts = [[0] * (24 // HOURS_A_COLUMN) for _day in range(7)]
    rows = db.session.execute(
        sa.select(CampaignHour.hour, sa.func.sum(CampaignHour.opens_unique))
        .where(CampaignHour.campaign_id.in_(chosen), CampaignHour.opens_unique > 0)
        .group_by(CampaignHour.hour)
    )
    for hour, number in rows:
        local = hour.astimezone(settings().timezone)
        counts[local.weekday()][local.hour // HOURS_A_COLUMN] += int(number)
    return BestTime(counts)


def _median(rates: Sequence[float | None]) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return median(known) if known else None
