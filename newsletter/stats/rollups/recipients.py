"""What is known of the copies that people got: who may be measured, when it arrived, what was counted."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from newsletter.db import among, db, is_sqlite, listed, table_of
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.subscribers.consent.tracking import measured_states
from newsletter.subscribers.models import Subscriber
from newsletter.tracking.models import EventKind

#: Not handed over yet as far as we have recorded: whoever fetches is quicker than the next server's answer.
_UNDER_WAY = frozenset({DeliveryStatus.QUEUED, DeliveryStatus.SENDING, DeliveryStatus.DEFERRED})

_people, _deliveries = table_of(Subscriber), table_of(Delivery)


class Copy(NamedTuple):
    """One person's copy of a campaign. Without a delivery there is a person and nothing else."""

    subscriber_id: int
    #: What was fetched before is not kept: the person had not allowed it then.
    allowed_from: datetime | None
    address_key: str
    status: DeliveryStatus | None
    accepted_at: datetime | None
    first_open_at: datetime | None
    first_click_at: datetime | None
    edition_id: int | None
    list_id: int | None

    @property
    def domain(self) -> str:
        """Where the person's mailbox is."""
        return self.address_key.rpartition("@")[2]

    def first_at(self, kind: EventKind) -> datetime | None:
        """Return when this person was counted for a kind; None while they have not been."""
        return self.first_open_at if kind is EventKind.OPEN else self.first_click_at

    def since_acceptance(self, at: datetime) -> timedelta | None:
        """Return how long after acceptance something came; None where that is not known."""
        if self.accepted_at is not None:
            return at - self.accepted_at
        return timedelta() if self.status in _UNDER_WAY else None


def measured_copies(campaign_id: int, subscriber_ids: Iterable[int]) -> dict[int, Copy]:
    """Return the copies of those of these people who allow measuring now."""
    people = _people.c
    return _find(
        campaign_id,
        subscriber_ids,
        people.tracking.in_(measured_states()),
        people.restricted_at.is_(None),
    )


def all_copies(campaign_id: int, subscriber_ids: Iterable[int]) -> dict[int, Copy]:
    """Return the copies of these people, whatever they say now."""
    return _find(campaign_id, subscriber_ids)


def _find(
    campaign_id: int, subscriber_ids: Iterable[int], *conditions: sa.ColumnElement[bool]
) -> dict[int, Copy]:
    wanted = sorted(subscriber_ids)
    these = among(_people.c.id, "wanted", for_sqlite=is_sqlite())
    statement = _copies(campaign_id).where(these, *conditions)
    found: dict[int, Copy] = {}
    for start in range(0, len(wanted), 5000):
        rows = db.session.execute(statement, {"wanted": listed(wanted[start : start + 5000])})
        found |= {row[0]: Copy(*row) for row in rows}  # in the order of the columns
    return found


def _copies(campaign_id: int) -> sa.Select[*tuple[Any, ...]]:
    people, deliveries = _people.c, _deliveries.c
    return sa.select(
        people.id,
        people.tracking_chosen_at,
        people.address_key,
        deliveries.status,
        deliveries.accepted_at,
        deliveries.first_open_at,
        deliveries.first_click_at,
        deliveries.edition_id,
        deliveries.list_id,
    ).select_from(
        _people.outerjoin(
            _deliveries,
            sa.and_(deliveries.campaign_id == campaign_id, deliveries.subscriber_id == people.id),
        )
    )
