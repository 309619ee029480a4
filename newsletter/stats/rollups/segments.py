"""Segments of a campaign: its figures by language, list and mailbox provider.

Recipients are counted from the deliveries while these exist, and a count never falls again, so that it
stays true after people are deleted. Unique opens and clicks are added as they happen.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from newsletter.campaigns.models import Campaign, CampaignStatus, CampaignTotals, Edition
from newsletter.db import db, execute_dml, is_sqlite, table_of
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.stats.models import CampaignGroup
from newsletter.stats.rollups.recipients import Recipient
from newsletter.stats.rollups.writer import Segment
from newsletter.subscribers.models import Subscriber

#: Fewer recipients than this with one provider are never named as a group.
MIN_PROVIDER_RECIPIENTS = 5
OTHER_PROVIDERS = ""
COUNTED = ("recipients", "accepted", "failed", "measured", "unsubscribed")
#: Taken from the deliveries when a group is first counted; from then on added as it happens.
_UNIQUES = ("opens_unique", "clicks_unique")
#: A sent campaign is counted once an hour for this long: people still leave.
_HOURLY_PERIOD = timedelta(days=30)
_PROVIDERS = {
    "Gmail": ("gmail.com", "googlemail.com"),
    "Outlook": ("outlook.com", "hotmail.com", "live.com", "msn.com", "hotmail.fi", "live.fi", "outlook.fi"),
    "Yahoo": ("yahoo.com", "yahoo.co.uk", "yahoo.de", "yahoo.fr", "ymail.com", "rocketmail.com", "aol.com"),
    "iCloud": ("icloud.com", "me.com", "mac.com"),
    "GMX": ("gmx.de", "gmx.net", "gmx.at", "gmx.com", "gmx.ch"),
    "Proton": ("proton.me", "protonmail.com", "pm.me"),
}
_PROVIDER_OF = {domain: name for name, domains in _PROVIDERS.items() for domain in domains}


def mailbox_provider(domain: str) -> str:
    """Return the mailbox provider of a domain: a known one's name, else the domain."""
    return _PROVIDER_OF.get(domain, domain)


class SegmentResolver:
    """Finds the segments of a recipient of one campaign."""

    def __init__(self, campaign_id: int) -> None:
        editions = db.session.execute(
            sa.select(Edition.id, Edition.language).where(Edition.campaign_id == campaign_id)
        )
        self._languages = dict(editions.all())
        self._providers = set(
            db.session.scalars(
                sa.select(CampaignGroup.name).where(
                    CampaignGroup.campaign_id == campaign_id, CampaignGroup.dimension == "provider"
                )
            )
        )

    def segments_of(self, recipient: Recipient) -> list[Segment]:
        """Return the segments of a recipient; none without a delivery."""
        if recipient.edition_id is None:
            return []
        provider = mailbox_provider(recipient.domain)
        return [
            ("language", self._languages.get(recipient.edition_id, "")),
            ("list", str(recipient.list_id)),
            ("provider", provider if provider in self._providers else OTHER_PROVIDERS),
        ]


def ensure_segments(campaign_id: int, now: datetime) -> None:
    """Count a campaign's groups if that has never been done."""
    known = sa.select(CampaignGroup.campaign_id).where(CampaignGroup.campaign_id == campaign_id).limit(1)
    if db.session.scalar(known) is None:
        count_segments(campaign_id, now)


def count_segments(campaign_id: int, now: datetime) -> None:
    """Count who got a campaign, by language, list and provider."""
    languages = dict(
        db.session.execute(
            sa.select(Edition.id, Edition.language).where(Edition.campaign_id == campaign_id)
        ).all()
    )
    counts: defaultdict[Segment, Counter[str]] = defaultdict(Counter)
    for edition_id, list_id, *numbers in _count_deliveries(
        campaign_id, Delivery.edition_id, Delivery.list_id
    ):
        found = Counter({name: int(n or 0) for name, n in zip((*COUNTED, *_UNIQUES), numbers, strict=True)})
        counts["language", languages.get(edition_id, "")] += found
        counts["list", str(list_id)] += found
    counts |= _by_provider(campaign_id)
    for group in (("language", ""), ("list", "0")):
        counts.pop(group, None)
    counts["provider", OTHER_PROVIDERS] += Counter()
    _upsert_segments(campaign_id, counts, now)


def count_due_segments(now: datetime) -> None:
    """Count the groups of campaigns on their way, and of sent ones once more each hour. Commits."""
    counted = (
        sa.select(CampaignGroup.campaign_id, sa.func.min(CampaignGroup.counted_at).label("at"))
        .group_by(CampaignGroup.campaign_id)
        .subquery()
    )
    due = (
        sa.select(Campaign.id)
        .outerjoin(counted, counted.c.campaign_id == Campaign.id)
        .where(
            Campaign.started_at.is_not(None),
            sa.or_(
                counted.c.at.is_(None),
                sa.and_(Campaign.status == CampaignStatus.SENDING, counted.c.at < now - timedelta(minutes=1)),
                sa.and_(Campaign.status == CampaignStatus.PAUSED, counted.c.at < now - timedelta(minutes=10)),
                counted.c.at < Campaign.finished_at,
                sa.and_(counted.c.at < now - timedelta(hours=1), Campaign.finished_at > now - _HOURLY_PERIOD),
            ),
        )
    )
    for campaign_id in db.session.scalars(due).all():
        lock_totals(campaign_id)
        count_segments(campaign_id, now)
        _count_deferred(campaign_id)
        db.session.commit()
    db.session.rollback()


def _count_deferred(campaign_id: int) -> None:
    waiting = (
        sa.select(sa.func.count())
        .where(Delivery.campaign_id == campaign_id, Delivery.status == DeliveryStatus.DEFERRED)
        .scalar_subquery()
    )
    execute_dml(
        sa.update(CampaignTotals).where(CampaignTotals.campaign_id == campaign_id).values(deferred=waiting)
    )


def lock_totals(campaign_id: int) -> bool:
    """Lock the campaign's totals before anything else of it, so that no two wait for each other.

    True while it may have new readers.
    """
    closed_at = db.session.execute(
        sa.select(CampaignTotals.uniques_closed_at)
        .where(CampaignTotals.campaign_id == campaign_id)
        .with_for_update()
    )
    return closed_at.scalar() is None


def _by_provider(campaign_id: int) -> dict[Segment, Counter[str]]:
    domain: sa.ColumnElement[str]
    if is_sqlite():
        domain = sa.func.substr(Subscriber.address_key, sa.func.instr(Subscriber.address_key, "@") + 1)
    else:
        domain = sa.func.split_part(Subscriber.address_key, "@", 2)
    providers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, *numbers in _count_deliveries(campaign_id, domain, with_people=True):
        providers[mailbox_provider(name)].update(
            {column: int(n or 0) for column, n in zip((*COUNTED, *_UNIQUES), numbers, strict=True)}
        )
    # A group once named keeps its name: what was added to it stays where it is.
    named = SegmentResolver(campaign_id)._providers  # noqa: SLF001 - of this module
    found: defaultdict[Segment, Counter[str]] = defaultdict(Counter)
    for name, counted in providers.items():
        big = name in named or (not named and counted["recipients"] >= MIN_PROVIDER_RECIPIENTS)
        found["provider", name if big else OTHER_PROVIDERS].update(counted)
    return found


def _count_deliveries(
    campaign_id: int,
    *keys: sa.ColumnElement[Any] | sa.orm.InstrumentedAttribute[int],
    with_people: bool = False,
) -> Sequence[sa.Row[*tuple[Any, ...]]]:
    accepted = Delivery.accepted_at.is_not(None)

    def number(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return sa.func.sum(sa.case((condition, 1), else_=0))

    statement = sa.select(
        *keys,
        sa.func.count(),
        number(accepted),
        number(Delivery.status.in_([DeliveryStatus.FAILED, DeliveryStatus.BOUNCED])),
        number(sa.and_(accepted, Delivery.is_measured.is_(True))),
        number(Delivery.unsubscribed_at.is_not(None)),
        number(Delivery.first_open_at.is_not(None)),
        number(Delivery.first_click_at.is_not(None)),
    ).select_from(Delivery)
    if with_people:
        statement = statement.join(Subscriber, Subscriber.id == Delivery.subscriber_id)
    return db.session.execute(statement.where(Delivery.campaign_id == campaign_id).group_by(*keys)).all()


def _upsert_segments(campaign_id: int, counts: dict[Segment, Counter[str]], now: datetime) -> None:
    table = table_of(CampaignGroup)
    insert = sqlite.insert(table) if is_sqlite() else postgresql.insert(table)
    greater = sa.func.max if is_sqlite() else sa.func.greatest
    kept: dict[str, object] = {name: greater(table.c[name], insert.excluded[name]) for name in COUNTED}
    rows = [
        {"campaign_id": campaign_id, "dimension": dimension, "name": name, "counted_at": now}
        | {column: numbers[column] for column in (*COUNTED, *_UNIQUES)}
        for (dimension, name), numbers in sorted(counts.items())
    ]
    db.session.execute(
        insert.on_conflict_do_update(
            index_elements=["campaign_id", "dimension", "name"], set_=kept | {"counted_at": now}
        ),
        rows,
    )
