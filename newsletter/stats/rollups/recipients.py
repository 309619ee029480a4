"""Recipients of a campaign for ingestion: tracking consent, acceptance, first open and click."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from newsletter.db import bind_list, db, in_list, is_sqlite, table_of
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.subscribers.consent.tracking import states_allowing_tracking
from newsletter.subscribers.models import Subscriber
from newsletter.tracking.models import EventKind

#: Not handed over yet as far as we have recorded: whoever fetches is quicker than the next server's answer.
_NOT_YET_ACCEPTED = frozenset({DeliveryStatus.QUEUED, DeliveryStatus.SENDING, DeliveryStatus.DEFERRED})

_people, _deliveries = table_of(Subscriber), table_of(Delivery)


class Recipient(NamedTuple):
    """One recipient of a campaign. Without a delivery only the person's own columns are set."""

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
        return timedelta() if self.status in _NOT_YET_ACCEPTED else None


def measured_recipients(campaign_id: int, subscriber_ids: Iterable[int]) -> dict[int, Recipient]:
    """Return those of these people who allow tracking now, as recipients by subscriber id."""
    people = _people.c
    return _find_recipients(
        campaign_id,
        subscriber_ids,
        people.tracking.in_(states_allowing_tracking()),
        people.restricted_at.is_(None),
    )


def all_recipients(campaign_id: int, subscriber_ids: Iterable[int]) -> dict[int, Recipient]:
    """Return these people as recipients by subscriber id, whether they allow tracking or not."""
    return _find_recipients(campaign_id, subscriber_ids)


def _find_recipients(
    campaign_id: int, subscriber_ids: Iterable[int], *conditions: sa.ColumnElement[bool]
) -> dict[int, Recipient]:
    wanted = sorted(subscriber_ids)
    these = in_list(_people.c.id, "wanted", for_sqlite=is_sqlite())
    statement = _recipient_query(campaign_id).where(these, *conditions)
    found: dict[int, Recipient] = {}
    for start in range(0, len(wanted), 5000):
        rows = db.session.execute(statement, {"wanted": bind_list(wanted[start : start + 5000])})
        found |= {row[0]: Recipient(*row) for row in rows}  # in the order of the columns
    return found


def _recipient_query(campaign_id: int) -> sa.Select[*tuple[Any, ...]]:
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
