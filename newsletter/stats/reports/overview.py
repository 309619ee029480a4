"""The overview: growth of the lists, and which figures need attention."""

import enum
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.campaigns import drafts
from newsletter.campaigns.models import Campaign, CampaignStatus
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.stats.models import ListDay
from newsletter.stats.reports.campaign import totals_figures
from newsletter.stats.rollups.funnel_months import funnel_counts
from newsletter.subscribers.lists import all_lists
from newsletter.subscribers.models import FunnelStep, MailingList
from newsletter.tracking.hit_log import lost_hits

HIGH_FAILURE_RATE = 0.05
#: Campaigns older than this need nobody's attention any more.
_RECENT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class ListGrowth:
    """A list over some days."""

    mailing_list: MailingList
    members: int
    joined: int
    left: int
    #: Confirmed out of the forms sent in, in the same days; None without any.
    confirmed_rate: float | None
    forms: int
    #: Members at the end of each day, oldest first.
    days: Sequence[ListDay]
    counted_at: datetime | None


class AlertKind(enum.Enum):
    """Kinds of alerts on figures, the gravest first."""

    UNCERTAIN = "uncertain"
    FAILED = "failed"
    COMPLAINTS = "complaints"
    PAUSED = "paused"
    SHRINKING = "shrinking"
    HITS_LOST = "hits_lost"


@dataclass(frozen=True, slots=True)
class FigureAlert:
    """One figure that needs attention, and the campaign or list it is about."""

    kind: AlertKind
    number: int
    base: int = 0
    campaign: Campaign | None = None
    mailing_list: MailingList | None = None


def list_growth(now: datetime, days: int, within: Sequence[str] | None = None) -> list[ListGrowth]:
    """Return every list, or those of these slugs, with who joined and left in the last days."""
    today = now.astimezone(current_settings().timezone).date()
    since = today - timedelta(days=days - 1)
    lists = all_lists(within)
    numbers = [item.id for item in lists]
    by_list: defaultdict[int, list[ListDay]] = defaultdict(list)
    kept = sa.select(ListDay).where(ListDay.list_id.in_(numbers), ListDay.day >= since).order_by(ListDay.day)
    for row in db.session.scalars(kept):
        by_list[row.list_id].append(row)
    steps: defaultdict[int, dict[FunnelStep, int]] = defaultdict(dict)
    found = funnel_counts(since).c
    counted = sa.select(found.list_id, found.step, sa.func.sum(found.count)).where(
        found.list_id.in_(numbers), found.step.in_([FunnelStep.SENT_IN, FunnelStep.CONFIRMED])
    )
    for list_id, step, number in db.session.execute(counted.group_by(found.list_id, found.step)):
        steps[list_id][step] = int(number)
    return [_build_growth(item, by_list[item.id], steps[item.id]) for item in lists]


def find_figure_alerts(
    now: datetime, growths: Sequence[ListGrowth], within: Sequence[str] | None = None
) -> list[FigureAlert]:
    """Return what needs to be looked at, the gravest first; with ``within`` of these lists alone."""
    held = sa.true() if within is None else drafts.goes_only_to(within)
    recent = db.session.scalars(
        sa.select(Campaign)
        .where(Campaign.started_at > now - _RECENT, held)
        .options(sa.orm.selectinload(Campaign.editions))
        .order_by(Campaign.id.desc())
    ).unique()
    found = [concern for campaign in recent for concern in _campaign_alerts(campaign, now)]
    lost = lost_hits(current_settings().instance_path)
    if lost:
        found.append(FigureAlert(AlertKind.HITS_LOST, lost))
    found += [
        FigureAlert(
            AlertKind.SHRINKING, item.left - item.joined, item.members, mailing_list=item.mailing_list
        )
        for item in growths
        if item.left > item.joined
    ]
    order = list(AlertKind)
    return sorted(found, key=lambda item: order.index(item.kind))


def _build_growth(mailing_list: MailingList, days: list[ListDay], steps: dict[FunnelStep, int]) -> ListGrowth:
    forms = steps.get(FunnelStep.SENT_IN, 0)
    return ListGrowth(
        mailing_list=mailing_list,
        members=days[-1].members if days else 0,
        joined=sum(day.joined for day in days),
        left=sum(day.left for day in days),
        confirmed_rate=steps.get(FunnelStep.CONFIRMED, 0) / forms if forms else None,
        forms=forms,
        days=days,
        counted_at=days[-1].counted_at if days else None,
    )


def _campaign_alerts(campaign: Campaign, now: datetime) -> list[FigureAlert]:
    figures = totals_figures(campaign.totals, now)
    found = []
    if campaign.status is CampaignStatus.PAUSED:
        found.append(FigureAlert(AlertKind.PAUSED, 1, campaign=campaign))
    if figures.uncertain:
        found.append(FigureAlert(AlertKind.UNCERTAIN, figures.uncertain, figures.recipients, campaign))
    if figures.recipients and figures.failed / figures.recipients > HIGH_FAILURE_RATE:
        found.append(FigureAlert(AlertKind.FAILED, figures.failed, figures.recipients, campaign))
    if figures.accepted and figures.complained / figures.accepted >= current_settings().complaint_warn:
        found.append(FigureAlert(AlertKind.COMPLAINTS, figures.complained, figures.accepted, campaign))
    return found
