"""Adds what happens to the totals, in the transaction of what happened.

"Unique" means per delivery and human only. It is exact because each delivery and each reader of a
link remembers being counted. The January purge makes them forget, so it closes the campaign: what
comes later is counted, but as nobody new.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from newsletter.campaigns.models import CampaignTotals, Edition
from newsletter.config import settings
from newsletter.db import change, db, insert_ignoring
from newsletter.sending.claim import count
from newsletter.sending.models import Delivery
from newsletter.subscribers.unsubscribe import left
from newsletter.tracking.classify import HUMAN
from newsletter.tracking.loader import Hit, load
from newsletter.tracking.models import EventKind, LinkReader, LinkTotals


def campaigns_of(edition_ids: set[int]) -> dict[int, int]:
    """Return the campaign of each edition; an unknown edition is left out."""
    found = db.session.execute(sa.select(Edition.id, Edition.campaign_id).where(Edition.id.in_(edition_ids)))
    return dict(found.all())


def load_spool() -> int:
    """Load this machine's spool into the tables and the totals; return how many hits were read."""
    return load(settings().instance_path / "spool", campaigns=campaigns_of, fold=fold)


def fold(hits: Sequence[Hit]) -> None:
    """Add hits to the totals of their campaigns and links."""
    by_campaign: defaultdict[int, list[Hit]] = defaultdict(list)
    for hit in hits:
        by_campaign[hit.campaign_id].append(hit)
    closed = set()
    # In a fixed order, so that two loaders never wait for each other's rows.
    for campaign_id, theirs in sorted(by_campaign.items()):
        if not _take_turn(campaign_id):
            closed.add(campaign_id)
        _fold_campaign(campaign_id, theirs, is_closed=campaign_id in closed)
    _fold_links([hit for hit in hits if hit.kind is EventKind.CLICK and hit.link_number is not None], closed)


def close_uniques(campaign_id: int, now: datetime) -> None:
    """Count nobody as a new reader of this campaign from now on, in the caller's transaction."""
    _take_turn(campaign_id)
    change(
        sa.update(CampaignTotals)
        .where(CampaignTotals.campaign_id == campaign_id)
        .values(uniques_closed_at=now)
    )


def record_left(_sender: object, *, campaign_id: int, subscriber_id: int, now: datetime) -> None:
    """Count a person once for the campaign whose link they left by."""
    _take_turn(campaign_id)
    counted = change(
        sa.update(Delivery)
        .where(
            Delivery.campaign_id == campaign_id,
            Delivery.subscriber_id == subscriber_id,
            Delivery.unsubscribed_at.is_(None),
        )
        .values(unsubscribed_at=now)
    )
    count(campaign_id, unsubscribed=counted)


def listen() -> None:
    """Hear of everyone who leaves by a newsletter's link."""
    left.connect(record_left)


def _fold_campaign(campaign_id: int, hits: list[Hit], *, is_closed: bool) -> None:
    numbers: Counter[str] = Counter()
    for hit in hits:
        numbers[f"{hit.kind.value}s_{'human' if hit.machine_class in HUMAN else 'machine'}"] += 1
    if not is_closed:
        for kind, column in (
            (EventKind.OPEN, Delivery.first_open_at),
            (EventKind.CLICK, Delivery.first_click_at),
        ):
            numbers[f"{kind.value}s_unique"] += _mark_first(campaign_id, hits, kind, column)
    count(campaign_id, **numbers)


def _take_turn(campaign_id: int) -> bool:
    """Lock the campaign's totals before anything else of it, so that no two wait for each other.

    True while it may have new readers.
    """
    closed_at = db.session.execute(
        sa.select(CampaignTotals.uniques_closed_at)
        .where(CampaignTotals.campaign_id == campaign_id)
        .with_for_update()
    )
    return closed_at.scalar() is None


def _mark_first(
    campaign_id: int,
    hits: list[Hit],
    kind: EventKind,
    column: sa.orm.InstrumentedAttribute[datetime | None],
) -> int:
    """Remember each person's first human hit of a kind; return for how many this was the first."""
    first: dict[int, datetime] = {}
    for hit in hits:
        if hit.kind is kind and hit.machine_class in HUMAN and hit.subscriber_id:
            first[hit.subscriber_id] = min(hit.at, first.get(hit.subscriber_id, hit.at))
    marked = 0
    for subscriber_id, at in first.items():
        marked += change(
            sa.update(Delivery)
            .where(
                Delivery.campaign_id == campaign_id,
                Delivery.subscriber_id == subscriber_id,
                column.is_(None),
            )
            .values({column: at})
        )
    return marked


def _fold_links(hits: list[Hit], closed: set[int]) -> None:
    numbers: defaultdict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    readers = set()
    for hit in hits:
        key = (hit.edition_id, hit.link_number or 0)
        human = hit.machine_class in HUMAN
        numbers[key]["human" if human else "machine"] += 1
        if human and hit.subscriber_id and hit.campaign_id not in closed:
            readers.add((*key, hit.subscriber_id))
    for edition_id, number in _add_readers(readers):
        numbers[edition_id, number]["unique_human"] += 1
    for (edition_id, number), added in sorted(numbers.items()):
        change(
            sa.update(LinkTotals)
            .where(LinkTotals.edition_id == edition_id, LinkTotals.number == number)
            .values({getattr(LinkTotals, name): getattr(LinkTotals, name) + n for name, n in added.items()})
        )


def _add_readers(readers: set[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Store who followed which link; return the links of those who had not before."""
    if not readers:
        return []
    rows = [
        {"edition_id": edition_id, "number": number, "subscriber_id": subscriber_id}
        for edition_id, number, subscriber_id in sorted(readers)
    ]
    statement = insert_ignoring(LinkReader).returning(LinkReader.edition_id, LinkReader.number)
    return [(edition_id, number) for edition_id, number in db.session.execute(statement, rows)]
