"""Leases on deliveries: a worker leases a batch of rows, then claims each just before it is sent.

A claim sets the status ``sending``. Both statements check anew whether the person may be written to.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from newsletter.campaigns.models import Campaign, CampaignStatus, CampaignTotals
from newsletter.db import bind_list, db, dialect, execute_dml, is_sqlite, table_of
from newsletter.db.leases import LEASE_DURATION, dead_owners, owner, owners_of_earlier_boots
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.worker.prepared import PreparedStatement
from newsletter.sending.worker.sql import WAITING_STATUSES, get_statement


class LeasedDelivery(NamedTuple):
    """A delivery leased by this process, and its address."""

    subscriber_id: int
    address: str

    @property
    def domain(self) -> str:
        """The domain of the address, casefolded."""
        return self.address.rpartition("@")[2].casefold()


class ClaimedDelivery(NamedTuple):
    """A delivery with status ``sending``, and what its message needs."""

    campaign_id: int
    subscriber_id: int
    edition_id: int
    list_id: int
    attempts: int
    address: str
    is_measured: bool


def lease_batch(campaign_id: int, now: datetime, after: int = 0) -> list[LeasedDelivery] | None:
    """Lease the next due deliveries of a campaign after a subscriber id; None when there are none.

    Those to people who may not be written to become ``skipped``, so the list may be empty. Does not commit.
    """
    values = {
        "campaign": campaign_id,
        "after": after,
        "now": now,
        "holder": owner(),
        "until": now + LEASE_DURATION,
    }
    people = [number for (number,) in get_statement("lease").run(values)]
    if not people:
        return None
    rows = get_statement("find_eligible").run({"campaign": campaign_id, "people": bind_list(people)})
    gone = [number for number, _address, list_id in rows if list_id is None]
    if gone:
        skip_ineligible(campaign_id, gone)
    return [LeasedDelivery(number, address) for number, address, list_id in rows if list_id is not None]


def skip_ineligible(campaign_id: int, people: Sequence[int]) -> None:
    """Make leased deliveries to people who may not be written to ``skipped``."""
    skipped = get_statement("skip").run(
        {"campaign": campaign_id, "people": bind_list(people), "holder": owner()}
    )
    add_to_totals(campaign_id, skipped=len(skipped))


def reset_claim(campaign_id: int, people: Sequence[int]) -> None:
    """Undo claims whose commit was not confirmed. Nothing must have been sent on them."""
    get_statement("reset_claim").run(
        {"campaign": campaign_id, "people": bind_list(people), "holder": owner()}
    )


def is_sending(campaign_id: int) -> bool:
    """Tell whether a campaign has the status ``sending``."""
    status = db.session.scalar(sa.select(Campaign.status).where(Campaign.id == campaign_id))
    return status is CampaignStatus.SENDING


def release_leases(campaign_id: int, unsent: Collection[int] = ()) -> None:
    """Release this process's leases of deliveries that it did not send. Commits.

    ``unsent`` are those that may have the status ``sending`` although nothing was sent, see ``reset_claim``.
    """
    if unsent:
        reset_claim(campaign_id, list(unsent))
    execute_dml(
        sa.update(Delivery)
        .where(
            Delivery.campaign_id == campaign_id,
            Delivery.leased_by == owner(),
            Delivery.status.in_(WAITING_STATUSES),
        )
        .values(leased_by=None, leased_until=None)
    )
    db.session.commit()


def release_expired(campaign_id: int, now: datetime) -> int:
    """End the leases of dead workers and return how many deliveries became ``uncertain``. Commits."""
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
        before = Delivery.leased_by.in_(owners_of_earlier_boots(holders))
        in_doubt = sa.or_(in_doubt, sa.and_(before, Delivery.status.in_(WAITING_STATUSES)))
    uncertain = execute_dml(
        sa.update(Delivery).where(abandoned, in_doubt).values(status=DeliveryStatus.UNCERTAIN, **nobody)
    )
    add_to_totals(campaign_id, uncertain=uncertain)
    execute_dml(sa.update(Delivery).where(abandoned, Delivery.status.in_(WAITING_STATUSES)).values(**nobody))
    db.session.commit()
    return uncertain


def add_to_totals(campaign_id: int, **numbers: int) -> None:
    """Add to the totals of a campaign, in the caller's transaction."""
    added = {f"more_{name}": number for name, number in numbers.items() if number}
    if added:
        counting = _totals_update(tuple(name for name, number in numbers.items() if number), dialect())
        counting.run({"campaign": campaign_id} | added)


@cache
def _totals_update(names: tuple[str, ...], dialect: Dialect) -> PreparedStatement:
    totals = table_of(CampaignTotals)
    more = {name: totals.c[name] + sa.bindparam(f"more_{name}") for name in names}
    these = totals.c.campaign_id == sa.bindparam("campaign")
    return PreparedStatement(sa.update(totals).where(these).values(more), dialect)
