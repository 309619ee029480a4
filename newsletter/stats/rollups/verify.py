"""Verification: do the roll-ups agree with the raw records.

Roll-ups outlive people and their records, so they may exceed what is left to count, never fall below it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa

from newsletter.campaigns.models import Campaign, CampaignTotals, Edition
from newsletter.db import db, read_transactions
from newsletter.sending.models import Delivery
from newsletter.stats.models import CampaignClass, CampaignGroup, CampaignHour
from newsletter.stats.rollups.segments import lock_totals
from newsletter.tracking.classify import HONEYPOT_LINK, HUMAN_CLASSES
from newsletter.tracking.models import Event, EventKind, LinkReader, LinkTotals
from newsletter.tracking.queries import event_id_bounds

#: Records added up by one statement.
_BATCH_SIZE = 100_000
_MEASURES = (
    "opens_human",
    "opens_machine",
    "opens_unique",
    "clicks_human",
    "clicks_machine",
    "clicks_unique",
)
#: The January purge, which stands above: what was recorded before its year may be gone.
_purge_runs = sa.table("purge_runs", sa.column("started_at"))


@dataclass(frozen=True, slots=True)
class Difference:
    """A number that is not what counting gives."""

    campaign_id: int
    what: str
    stored: int
    counted: int


@dataclass(slots=True)
class _RecordSums:
    """What the raw records of a campaign add up to, and between which numbers they are."""

    first: int = 0
    last: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    #: By edition and number, people's and machines'.
    clicks: defaultdict[tuple[int, int], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


def verify_all() -> tuple[int, list[Difference]]:
    """Recount every campaign; return how many there are, and every number that is wrong.

    Reads all records once. Holds nobody up, and commits nothing; call it without changes under way.
    """
    db.session.rollback()
    with read_transactions():
        campaign_ids = db.session.scalars(sa.select(Campaign.id).order_by(Campaign.id)).all()
        kept = _sum_records()
        found = {it: verify_campaign(it, kept[it]) for it in campaign_ids}
        db.session.rollback()
    # Hits may have been stored meanwhile: what seems wrong is looked at again in the campaign's turn.
    return len(campaign_ids), [again for it in campaign_ids if found[it] for again in _verify_locked(it)]


def verify_campaign(campaign_id: int, kept: _RecordSums | None = None) -> list[Difference]:
    """Compare a campaign's roll-ups with the raw records, and with each other."""
    kept = kept or _sum_records(campaign_id)[campaign_id]
    totals = db.session.get_one(CampaignTotals, campaign_id, populate_existing=True)
    stored = {name: getattr(totals, name) for name in _MEASURES}
    counted = dict(kept.hits) | _count_people(campaign_id, kept)
    found = [*_compare(campaign_id, stored, counted, exact=_is_complete(totals))]
    for what, parts in _sum_other_rollups(campaign_id).items():
        found += _compare(campaign_id, {f"{name} by {what}": stored[name] for name in parts}, {
            f"{name} by {what}": number for name, number in parts.items()
        }, exact=True)  # fmt: skip
    return [*found, *_verify_links(campaign_id, kept, exact=_is_complete(totals))]


def _verify_locked(campaign_id: int) -> list[Difference]:
    lock_totals(campaign_id)
    found = verify_campaign(campaign_id)
    db.session.rollback()
    return found


def _compare(
    campaign_id: int, stored: dict[str, int], counted: dict[str, int], *, exact: bool
) -> Iterator[Difference]:
    for name, number in stored.items():
        other = counted.get(name, 0)
        if number < other or (exact and number != other):
            yield Difference(campaign_id, name, number, other)


def _is_complete(totals: CampaignTotals) -> bool:
    """Tell whether no delivery and no record of the campaign has been deleted."""
    deliveries = sa.select(sa.func.count()).where(Delivery.campaign_id == totals.campaign_id)
    purged = sa.select(sa.func.count()).select_from(_purge_runs).where(
        _purge_runs.c.started_at
        > sa.select(Campaign.started_at).where(Campaign.id == totals.campaign_id).scalar_subquery()
    )  # fmt: skip
    return db.session.scalar(deliveries) == totals.recipients and not db.session.scalar(purged)


def _sum_records(campaign_id: int | None = None) -> defaultdict[int, _RecordSums]:
    """Add up the raw records of every campaign, or of one, in one walk along their numbers."""
    keys = (Event.campaign_id, Event.kind, Event.machine_class, Event.edition_id, Event.link_number)
    counted = sa.select(*keys, sa.func.count(), sa.func.min(Event.id), sa.func.max(Event.id)).group_by(*keys)
    if campaign_id is not None:
        counted = counted.where(Event.campaign_id == campaign_id)
    found: defaultdict[int, _RecordSums] = defaultdict(_RecordSums)
    low, end = event_id_bounds()
    while low <= end:
        # So many at a time: SQLite sorts what it groups, and this much in memory.
        for campaign, kind, made_by, edition_id, number, count, first, last in db.session.execute(
            counted.where(Event.id.between(low, low + _BATCH_SIZE - 1))
        ):
            kept, who = found[campaign], "human" if made_by in HUMAN_CLASSES else "machine"
            kept.first, kept.last = min(kept.first or first, first), max(kept.last, last)
            kept.hits[f"{kind.value}s_{who}"] += count
            if kind is EventKind.CLICK:
                kept.clicks[edition_id, number or HONEYPOT_LINK][who] += count
        low += _BATCH_SIZE
    return found


def _count_people(campaign_id: int, kept: _RecordSums) -> dict[str, int]:
    """Return how many different people opened and clicked."""
    people = db.session.execute(
        sa.select(Event.kind, sa.func.count(Event.subscriber_id.distinct()))
        .join(
            Delivery,
            sa.and_(Delivery.campaign_id == Event.campaign_id, Delivery.subscriber_id == Event.subscriber_id),
        )
        .where(
            Event.id.between(kept.first, kept.last),
            Event.campaign_id == campaign_id,
            Event.machine_class.in_(HUMAN_CLASSES),
        )
        .group_by(Event.kind)
    )
    return {f"{kind.value}s_unique": number for kind, number in people}


def _sum_other_rollups(campaign_id: int) -> dict[str, dict[str, int]]:
    """Return what other roll-ups of a campaign add up to."""
    hours = db.session.execute(
        sa.select(*(sa.func.sum(getattr(CampaignHour, name)) for name in _MEASURES)).where(
            CampaignHour.campaign_id == campaign_id
        )
    ).one()
    classes: Counter[str] = Counter({name: 0 for name in _MEASURES if not name.endswith("unique")})
    for row in db.session.scalars(sa.select(CampaignClass).where(CampaignClass.campaign_id == campaign_id)):
        classes[f"{row.kind.value}s_{'human' if row.machine_class in HUMAN_CLASSES else 'machine'}"] += (
            row.count
        )
    found = {
        "hour": {name: int(number or 0) for name, number in zip(_MEASURES, hours, strict=True)},
        "class": dict(classes),
    }
    groups = db.session.execute(
        sa.select(
            CampaignGroup.dimension,
            sa.func.sum(CampaignGroup.opens_unique),
            sa.func.sum(CampaignGroup.clicks_unique),
        )
        .where(CampaignGroup.campaign_id == campaign_id)
        .group_by(CampaignGroup.dimension)
    )
    for dimension, opened, clicked in groups:
        found[dimension] = {"opens_unique": int(opened), "clicks_unique": int(clicked)}
    return found


def _verify_links(campaign_id: int, kept: _RecordSums, *, exact: bool) -> Iterator[Difference]:
    rows = db.session.scalars(
        sa.select(LinkTotals)
        .join(Edition, Edition.id == LinkTotals.edition_id)
        .where(Edition.campaign_id == campaign_id)
        .execution_options(populate_existing=True)
    ).all()
    editions = {row.edition_id for row in rows}
    for edition_id, number, count in db.session.execute(
        sa.select(LinkReader.edition_id, LinkReader.number, sa.func.count())
        .where(LinkReader.edition_id.in_(editions))
        .group_by(LinkReader.edition_id, LinkReader.number)
    ):
        kept.clicks[edition_id, number]["unique_human"] = count
    for row in rows:
        names = ("human", "machine", "unique_human")
        stored = {f"{name} of link {row.edition_id}/{row.number}": getattr(row, name) for name in names}
        counted = {
            f"{name} of link {row.edition_id}/{row.number}": kept.clicks[row.edition_id, row.number][name]
            for name in names
        }
        yield from _compare(campaign_id, stored, counted, exact=exact)
