"""What is known of the copies that people got: who may be measured, when it arrived, what was counted."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from newsletter.db import db
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.subscribers.measuring import measured_states
from newsletter.subscribers.models import Subscriber
from newsletter.tracking.models import EventKind

#: Not handed over yet as far as we have recorded: whoever fetches is quicker than the next server's answer.
_UNDER_WAY = frozenset({DeliveryStatus.QUEUED, DeliveryStatus.SENDING, DeliveryStatus.DEFERRED})


class Copy(NamedTuple):
    """One person's copy of a campaign. Without a delivery there is a person and nothing else."""

    subscriber_id: int
    #: What was fetched before is not kept: the person had not allowed it then.
    allowed_from: datetime | None
    domain: str
    status: DeliveryStatus | None
    accepted_at: datetime | None
    first_open_at: datetime | None
    first_click_at: datetime | None
    edition_id: int | None
    list_id: int | None

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
    wanted = sorted(subscriber_ids)
    found: dict[int, Copy] = {}
    for start in range(0, len(wanted), 5000):
        rows = db.session.execute(
            _copies(campaign_id).where(
                Subscriber.id.in_(wanted[start : start + 5000]),
                Subscriber.tracking.in_(measured_states()),
                Subscriber.restricted_at.is_(None),
            )
        )
        found |= {row[0]: _copy(row) for row in rows}
    return found


def all_copies(campaign_id: int, subscriber_ids: Iterable[int]) -> dict[int, Copy]:
    """Return the copies of these people, whatever they say now."""
    wanted = sorted(subscriber_ids)
    found: dict[int, Copy] = {}
    for start in range(0, len(wanted), 5000):
        rows = db.session.execute(_copies(campaign_id).where(Subscriber.id.in_(wanted[start : start + 5000])))
        found |= {row[0]: _copy(row) for row in rows}
    return found


def _copies(campaign_id: int) -> sa.Select[*tuple[Any, ...]]:
    return sa.select(
        Subscriber.id,
        Subscriber.tracking_chosen_at,
        Subscriber.address_key,
        Delivery.status,
        Delivery.accepted_at,
        Delivery.first_open_at,
        Delivery.first_click_at,
        Delivery.edition_id,
        Delivery.list_id,
    ).outerjoin(
        Delivery,
        sa.and_(Delivery.campaign_id == campaign_id, Delivery.subscriber_id == Subscriber.id),
    )


def _copy(row: sa.Row[*tuple[Any, ...]]) -> Copy:
    copy = Copy(*row)  # in the order of the columns above
    return copy._replace(domain=copy.domain.rpartition("@")[2])
