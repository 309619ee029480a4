"""Who holds which delivery.

A worker first leases some rows, then marks each ``sending`` just before it is handed over. Both
ask anew whether the person may be written to: see ``statements``.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from newsletter.campaigns.models import Campaign, CampaignStatus, CampaignTotals
from newsletter.db import change, db, dialect, is_sqlite, listed, table_of
from newsletter.db.leases import LEASE, dead_owners, earlier_boots, owner
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.worker.prepared import Prepared
from newsletter.sending.worker.sql import WAITING, prepared


class Leased(NamedTuple):
    """A delivery that is ours to send, and where to."""

    subscriber_id: int
    address: str

    @property
    def domain(self) -> str:
        """The domain that the mail goes to."""
        return self.address.rpartition("@")[2].casefold()


class Claimed(NamedTuple):
    """A delivery marked ``sending``, and what its copy needs."""

    campaign_id: int
    subscriber_id: int
    edition_id: int
    list_id: int
    attempts: int
    address: str
    is_measured: bool


def lease_some(campaign_id: int, now: datetime, after: int = 0) -> list[Leased] | None:
    """Lease the next due deliveries of a campaign behind a subscriber; None when there are none.

    Those to people who may not be written to become ``skipped``, so the list may be empty.
    """
    values = {
        "campaign": campaign_id,
        "after": after,
        "now": now,
        "holder": owner(),
        "until": now + LEASE,
    }
    people = [number for (number,) in prepared("lease").run(values)]
    if not people:
        return None
    rows = prepared("look").run({"campaign": campaign_id, "people": listed(people)})
    gone = [number for number, _address, list_id in rows if list_id is None]
    if gone:
        skip(campaign_id, gone)
    return [Leased(number, address) for number, address, list_id in rows if list_id is not None]


def skip(campaign_id: int, people: Sequence[int]) -> None:
    """Skip those of the leased deliveries whose people may not be written to."""
    skipped = prepared("skip").run({"campaign": campaign_id, "people": listed(people), "holder": owner()})
    count(campaign_id, skipped=len(skipped))


def unmark(campaign_id: int, people: Sequence[int]) -> None:
    """Take back marks that may or may not have been committed; nothing must have been handed over."""
    prepared("unmark").run({"campaign": campaign_id, "people": listed(people), "holder": owner()})


def is_running(campaign_id: int) -> bool:
    """Tell whether a campaign is on its way."""
    status = db.session.scalar(sa.select(Campaign.status).where(Campaign.id == campaign_id))
    return status is CampaignStatus.SENDING


def release(campaign_id: int, unsent: Collection[int] = ()) -> None:
    """Give back what this process leased and did not send. Commits.

    ``unsent`` are those that may stand as ``sending`` although nothing was handed over, see ``unmark``.
    """
    if unsent:
        unmark(campaign_id, list(unsent))
    change(
        sa.update(Delivery)
        .where(
            Delivery.campaign_id == campaign_id,
            Delivery.leased_by == owner(),
            Delivery.status.in_(WAITING),
        )
        .values(leased_by=None, leased_until=None)
    )
    db.session.commit()


def release_expired(campaign_id: int, now: datetime) -> int:
    """Settle what dead workers held and return how many became ``uncertain``. Commits."""
    held = sa.select(Delivery.leased_by).where(
        Delivery.campaign_id == campaign_id, Delivery.leased_by.is_not(None)
    )
    holders = [name for name in db.session.scalars(held.distinct()) if name]
    dead = dead_owners(holders)
    abandoned = sa.and_(
        Delivery.campaign_id == campaign_id,
        sa.or_(Delivery.leased_until <= now, Delivery.leased_by.in_(dead)),
    )
    nobody = {"leased_by": None, "leased_until": None}
    # In flight when the worker died: it may have been accepted, so it is never sent again by itself.
    in_doubt: sa.ColumnElement[bool] = Delivery.status == DeliveryStatus.SENDING
    if is_sqlite():
        # Marks there survive a kill, not a power cut: of what was leased before it, any may have gone.
        before = Delivery.leased_by.in_(earlier_boots(holders))
        in_doubt = sa.or_(in_doubt, sa.and_(before, Delivery.status.in_(WAITING)))
    uncertain = change(
        sa.update(Delivery).where(abandoned, in_doubt).values(status=DeliveryStatus.UNCERTAIN, **nobody)
    )
    count(campaign_id, uncertain=uncertain)
    change(sa.update(Delivery).where(abandoned, Delivery.status.in_(WAITING)).values(**nobody))
    db.session.commit()
    return uncertain


def count(campaign_id: int, **numbers: int) -> None:
    """Add to a campaign's totals, in the transaction of what is counted."""
    added = {f"more_{name}": number for name, number in numbers.items() if number}
    if added:
        counting = _counting(tuple(name for name, number in numbers.items() if number), dialect())
        counting.run({"campaign": campaign_id} | added)


@cache
def _counting(names: tuple[str, ...], dialect: Dialect) -> Prepared:
    totals = table_of(CampaignTotals)
    more = {name: totals.c[name] + sa.bindparam(f"more_{name}") for name in names}
    these = totals.c.campaign_id == sa.bindparam("campaign")
    return Prepared(sa.update(totals).where(these).values(more), dialect)
