"""The figures of a campaign, read from stored totals only, never by counting people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from newsletter.campaigns.drafts import goes_only_to
from newsletter.campaigns.models import Campaign, CampaignList, CampaignTotals, Edition
from newsletter.db import db
from newsletter.subscribers.models import MailingList
from newsletter.tracking.classify import RELAYED_CLASSES
from newsletter.tracking.models import Event, Link, LinkTotals

#: Opens and clicks shown one by one, with address, while the product is tried out.
SHOWN_ON_TRIAL = 20


class PendingCounts(NamedTuple):
    """Deliveries still to be made: queued, and deferred after a failed attempt."""

    queued: int
    deferred: int


@dataclass(frozen=True, slots=True)
class HitCounts:
    """Opens or clicks: every one by a person, every one by a machine, and the people, each once."""

    human: int
    machine: int
    unique_human: int


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """Clicks on one URL."""

    url: str
    human: int
    machine: int
    unique_human: int


@dataclass(frozen=True, slots=True)
class Figures:
    """A campaign in numbers, as they stood at ``as_of``.

    ``accepted`` means taken over by the next mail server. Opens and clicks are known only of the
    ``measured``: the accepted copies of people who allowed it.
    """

    recipients: int
    queued: int
    deferred: int
    accepted: int
    failed: int
    bounced: int
    complained: int
    skipped: int
    uncertain: int
    unsubscribed: int
    measured: int
    opens: HitCounts
    clicks: HitCounts
    links: Sequence[LinkFigures]
    as_of: datetime

    @property
    def open_rate(self) -> float | None:
        """Unique human opens of the measured; None without a base."""
        return self.opens.unique_human / self.measured if self.measured else None

    @property
    def click_rate(self) -> float | None:
        """Unique human clicks of the measured; None without a base."""
        return self.clicks.unique_human / self.measured if self.measured else None

    @property
    def accepted_rate(self) -> float | None:
        """Accepted of the recipients; None without any."""
        return self.accepted / self.recipients if self.recipients else None

    @property
    def unsubscribed_rate(self) -> float | None:
        """Unsubscribed of the accepted; None without any."""
        return self.unsubscribed / self.accepted if self.accepted else None

    @property
    def complained_rate(self) -> float | None:
        """Complaints of the accepted; None without any."""
        return self.complained / self.accepted if self.accepted else None

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as ``stats --json`` prints them."""
        return asdict(self) | {"as_of": self.as_of.isoformat()}


def campaign_figures(campaign: Campaign, now: datetime) -> Figures:
    """Return the figures of a campaign as they stand now."""
    totals = db.session.scalars(
        sa.select(CampaignTotals)
        .where(CampaignTotals.campaign_id == campaign.id)
        .execution_options(populate_existing=True)
    ).one()
    waiting = _pending_counts(totals) if campaign.finished_at is None else PendingCounts(0, 0)
    return _figures(totals, waiting, _link_figures(campaign.id), now)


def recent_hits(campaign: Campaign, limit: int) -> list[dict[str, Any]]:
    """Return the newest raw opens and clicks of a campaign, for the console; a relay's IP is left out."""
    rows = db.session.execute(
        sa.select(Event, Link.url)
        .outerjoin(Link, sa.and_(Link.edition_id == Event.edition_id, Link.number == Event.link_number))
        .where(Event.campaign_id == campaign.id)
        .order_by(Event.id.desc())
        .limit(limit)
    )
    return [
        {
            "at": event.at,
            "kind": event.kind.value,
            "url": url,
            "ip": None if event.machine_class in RELAYED_CLASSES else event.ip,
            "machine_class": event.machine_class.value,
        }
        for event, url in rows
    ]


def page_of_campaigns(
    *,
    before: int | None = None,
    after: int | None = None,
    size: int = 20,
    lists: Sequence[str] | None = None,
) -> Sequence[Campaign]:
    """Return campaigns, newest first, beyond a campaign's number: pages go by key.

    With ``lists`` only those that go to no others.
    """
    page = sa.select(Campaign).options(sa.orm.selectinload(Campaign.editions)).limit(size)
    if lists is not None:
        page = page.where(goes_only_to(lists))
    if after is not None:
        rows = db.session.scalars(page.where(Campaign.id > after).order_by(Campaign.id)).unique().all()
        return rows[::-1]
    if before is not None:
        page = page.where(Campaign.id < before)
    return db.session.scalars(page.order_by(Campaign.id.desc())).unique().all()


def list_names(campaigns: Sequence[Campaign]) -> Mapping[int, list[str]]:
    """Return the names of the lists each campaign goes to."""
    names: dict[int, list[str]] = {campaign.id: [] for campaign in campaigns}
    rows = db.session.execute(
        sa.select(Campaign.id, MailingList.name)
        .join(Campaign.list_ids)
        .join(MailingList, MailingList.id == CampaignList.list_id)
        .where(Campaign.id.in_(names))
        .order_by(Campaign.id, MailingList.id)
    )
    for campaign_id, name in rows:
        names[campaign_id].append(name)
    return names


def totals_figures(totals: CampaignTotals, now: datetime) -> Figures:
    """Return the figures that stand in the totals alone, for a page of many campaigns."""
    return _figures(totals, PendingCounts(0, 0), [], now)


def _figures(
    totals: CampaignTotals,
    waiting: PendingCounts,
    links: Sequence[LinkFigures],
    now: datetime,
) -> Figures:
    return Figures(
        recipients=totals.recipients,
        queued=waiting.queued,
        deferred=waiting.deferred,
        accepted=totals.accepted,
        failed=totals.failed,
        bounced=totals.bounced,
        complained=totals.complained,
        skipped=totals.skipped,
        uncertain=totals.uncertain,
        unsubscribed=totals.unsubscribed,
        measured=totals.measured,
        opens=HitCounts(totals.opens_human, totals.opens_machine, totals.opens_unique),
        clicks=HitCounts(totals.clicks_human, totals.clicks_machine, totals.clicks_unique),
        links=links,
        as_of=now,
    )


def _pending_counts(totals: CampaignTotals) -> PendingCounts:
    """Return who is on the way: all of them as they stand, how many of them wait again as last counted."""
    settled = totals.accepted + totals.failed + totals.skipped + totals.uncertain
    on_their_way = max(0, totals.recipients - settled)
    deferred = min(totals.deferred, on_their_way)
    return PendingCounts(on_their_way - deferred, deferred)


def _link_figures(campaign_id: int) -> list[LinkFigures]:
    """Return each address once, whichever editions it stands in, most followed first."""
    human, machine = sa.func.sum(LinkTotals.human), sa.func.sum(LinkTotals.machine)
    unique = sa.func.sum(LinkTotals.unique_human)
    rows = db.session.execute(
        sa.select(Link.url, human, machine, unique)
        .join(
            LinkTotals,
            sa.and_(LinkTotals.edition_id == Link.edition_id, LinkTotals.number == Link.number),
        )
        .join(Edition, Edition.id == Link.edition_id)
        .where(Edition.campaign_id == campaign_id)
        .group_by(Link.url)
        .order_by(unique.desc(), human.desc(), Link.url)
    )
    return [LinkFigures(url, int(people), int(others), int(readers)) for url, people, others, readers in rows]
