"""Who may be written to now, and who holds which delivery.

A worker first leases some rows, then marks each ``sending`` just before it is handed over. Both
statements ask anew whether the person may be written to, so leaving takes effect for every mail
not yet handed over. They are made once: building one costs more than running it.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from newsletter.campaigns.models import Campaign, CampaignList, CampaignStatus, CampaignTotals
from newsletter.db import among, change, db, dialect, is_sqlite, listed, table_of
from newsletter.leases import LEASE, dead_owners, earlier_boots, owner
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.prepared import Prepared
from newsletter.subscribers.measuring import measured_states
from newsletter.subscribers.models import (
    Subscriber,
    Subscription,
    SubscriptionStatus,
    Suppression,
    TrackingState,
)

#: Rows leased at a time. Each time costs a flush to the disk; what a dying worker holds waits for its lease.
BATCH = 500
_WAITING = (DeliveryStatus.QUEUED, DeliveryStatus.DEFERRED)

_ROWS = table_of(Delivery)
_PEOPLE = table_of(Subscriber)
_THIS = _ROWS.c.campaign_id == sa.bindparam("campaign")
# No IN: it would be written out anew for each execution.
_IS_WAITING = sa.or_(*(_ROWS.c.status == status for status in _WAITING))
_MINE = sa.and_(_ROWS.c.leased_by == sa.bindparam("holder"), _IS_WAITING)
#: The oldest list of the campaign that a person is on; NULL for one who may not be written to.
_LIST = (
    sa.select(sa.func.min(Subscription.list_id))
    .join(_PEOPLE, _PEOPLE.c.id == Subscription.subscriber_id)
    .where(
        Subscription.subscriber_id == _ROWS.c.subscriber_id,
        Subscription.status == SubscriptionStatus.CONFIRMED,
        Subscription.list_id.in_(
            sa.select(CampaignList.list_id).where(CampaignList.campaign_id == sa.bindparam("campaign"))
        ),
        _PEOPLE.c.restricted_at.is_(None),
        ~sa.exists().where(Suppression.address_hash == _PEOPLE.c.address_hash),
    )
    .correlate(_ROWS)
    .scalar_subquery()
)
_ADDRESS = sa.select(_PEOPLE.c.address).where(_PEOPLE.c.id == _ROWS.c.subscriber_id).scalar_subquery()
_TRACKING = sa.select(_PEOPLE.c.tracking).where(_PEOPLE.c.id == _ROWS.c.subscriber_id).scalar_subquery()
_IS_RUNNING = sa.exists().where(
    Campaign.id == sa.bindparam("campaign"), Campaign.status == CampaignStatus.SENDING
)


@dataclass(frozen=True, slots=True)
class _Statements:
    """What claiming says to the database; one set for each engine."""

    lease: Prepared
    look: Prepared
    mark: Prepared
    skip: Prepared
    unmark: Prepared


@cache
def _statements(dialect: Dialect) -> _Statements:
    for_sqlite = dialect.name == "sqlite"
    these = sa.and_(_THIS, among(_ROWS.c.subscriber_id, "people", for_sqlite=for_sqlite))
    due = (
        sa.select(_ROWS.c.subscriber_id)
        .where(
            _THIS,
            _ROWS.c.subscriber_id > sa.bindparam("after"),
            _IS_WAITING,
            sa.or_(_ROWS.c.due_at.is_(None), _ROWS.c.due_at <= sa.bindparam("now")),
            sa.or_(_ROWS.c.leased_until.is_(None), _ROWS.c.leased_until <= sa.bindparam("now")),
            _IS_RUNNING,
        )
        .order_by(_ROWS.c.subscriber_id)
        .limit(BATCH)
        .with_for_update(skip_locked=True, of=_ROWS)
        .cte("due")
        # A plain sub-select may be run once for each row, and lock and lease as many again each time.
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    return _Statements(
        lease=Prepared(
            sa.update(_ROWS)
            .where(_THIS, _ROWS.c.subscriber_id.in_(sa.select(due.c.subscriber_id)))
            .values(leased_by=sa.bindparam("holder"), leased_until=sa.bindparam("until"))
            .returning(_ROWS.c.subscriber_id),
            dialect,
        ),
        look=Prepared(
            sa.select(_ROWS.c.subscriber_id, _ADDRESS.label("address"), _LIST.label("list_id"))
            .where(these)
            .order_by(_ROWS.c.subscriber_id),
            dialect,
        ),
        mark=Prepared(
            sa.update(_ROWS)
            .where(these, _MINE, _LIST.is_not(None), _IS_RUNNING)
            .values(
                status=DeliveryStatus.SENDING,
                attempts=_ROWS.c.attempts + 1,
                leased_until=sa.bindparam("until"),
                list_id=_LIST,
                # NULL, when nobody is measured, is false.
                is_measured=sa.func.coalesce(
                    sa.or_(
                        sa.bindparam("measured_1", type_=_PEOPLE.c.tracking.type) == _TRACKING,
                        sa.bindparam("measured_2", type_=_PEOPLE.c.tracking.type) == _TRACKING,
                    ),
                    sa.false(),
                ),
            )
            .returning(
                _ROWS.c.campaign_id,
                _ROWS.c.subscriber_id,
                _ROWS.c.edition_id,
                _ROWS.c.list_id,
                _ROWS.c.attempts,
                _ADDRESS.label("address"),
                _ROWS.c.is_measured,
            ),
            dialect,
        ),
        skip=Prepared(
            sa.update(_ROWS)
            .where(these, _MINE, _LIST.is_(None))
            .values(status=DeliveryStatus.SKIPPED, leased_by=None, leased_until=None)
            .returning(_ROWS.c.subscriber_id),
            dialect,
        ),
        # Back from a mark whose commit was never confirmed; nothing was handed over on it.
        unmark=Prepared(
            sa.update(_ROWS)
            .where(
                these,
                _ROWS.c.leased_by == sa.bindparam("holder"),
                _ROWS.c.status == DeliveryStatus.SENDING,
            )
            .values(status=DeliveryStatus.QUEUED, attempts=_ROWS.c.attempts - 1),
            dialect,
        ),
    )


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
    found = _run(
        "lease",
        campaign=campaign_id,
        after=after,
        now=now,
        holder=owner(),
        until=now + LEASE,
    )
    people = [number for (number,) in found]
    if not people:
        return None
    rows = _run("look", campaign=campaign_id, people=listed(people))
    gone = [number for number, _address, list_id in rows if list_id is None]
    if gone:
        skip(campaign_id, gone)
    return [Leased(number, address) for number, address, list_id in rows if list_id is not None]


def mark_sending(campaign_id: int, people: Sequence[int], now: datetime) -> dict[int, Claimed]:
    """Mark leased deliveries ``sending`` and return those that may be handed over, by subscriber.

    A person who may no longer be written to makes theirs ``skipped``; a campaign that is not on its
    way, or a lease that has ended, leaves it as it is.
    """
    return start_marking(campaign_id, people, now)()


def start_marking(campaign_id: int, people: Sequence[int], now: datetime) -> Callable[[], dict[int, Claimed]]:
    """Do the first half of ``mark_sending``, and return what does the second: it waits for the database."""
    # Two at most are measured; a state named twice is the same as once.
    states: list[TrackingState | None] = [*measured_states()]
    first, *others = states or [None]
    values = {
        "campaign": campaign_id,
        "people": listed(people),
        "holder": owner(),
        "until": now + LEASE,
        "measured_1": first,
        "measured_2": others[0] if others else first,
    }
    marked = _statements(dialect()).mark.start(values)

    def finish() -> dict[int, Claimed]:
        claimed = {row[1]: Claimed(*row) for row in marked.rows()}
        if len(claimed) < len(people):
            skip(campaign_id, [number for number in people if number not in claimed])
        return claimed

    return finish


def skip(campaign_id: int, people: Sequence[int]) -> None:
    """Skip those of the leased deliveries whose people may not be written to."""
    skipped = _run("skip", campaign=campaign_id, people=listed(people), holder=owner())
    count(campaign_id, skipped=len(skipped))


def unmark(campaign_id: int, people: Sequence[int]) -> None:
    """Take back marks that may or may not have been committed; nothing must have been handed over."""
    _run("unmark", campaign=campaign_id, people=listed(people), holder=owner())


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
            Delivery.status.in_(_WAITING),
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
        in_doubt = sa.or_(in_doubt, sa.and_(before, Delivery.status.in_(_WAITING)))
    uncertain = change(
        sa.update(Delivery).where(abandoned, in_doubt).values(status=DeliveryStatus.UNCERTAIN, **nobody)
    )
    count(campaign_id, uncertain=uncertain)
    change(sa.update(Delivery).where(abandoned, Delivery.status.in_(_WAITING)).values(**nobody))
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


def _run(name: str, **values: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 - what it binds
    prepared: Prepared = getattr(_statements(dialect()), name)
    return prepared.run(values)
