"""Records a batch of outcomes, adds them to the totals, and claims the next deliveries.

On PostgreSQL this is one statement (data-modifying CTEs), so one transaction and one round trip. SQLite has
neither, and runs three statements in one transaction.
"""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from blinker import Namespace

from newsletter.db import bind_list, db, dialect, is_sqlite
from newsletter.db.leases import LEASE_DURATION, owner
from newsletter.mail.replies.models import Whose
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.worker.leasing import ClaimedDelivery, add_to_totals, skip_ineligible
from newsletter.sending.worker.outcomes import Outcome, outcome_columns, status_of
from newsletter.sending.worker.sql import get_statement
from newsletter.subscribers.consent.tracking import states_allowing_tracking
from newsletter.subscribers.models import TrackingState

log = logging.getLogger(__name__)

#: Sent with campaign, person and reply, in the transaction that records it, of a mail refused for good
#: because of whom it was to.
refused = Namespace().signal("refused")
#: Subscriber, status, and whether the message was measured (tracked).
Recorded = tuple[int, str, bool]


def record_and_claim(
    campaign_id: int, outcomes: Sequence[Outcome], people: Sequence[int], now: datetime
) -> dict[int, ClaimedDelivery]:
    """Record outcomes of one campaign, and claim leased deliveries (status ``sending``). Commits.

    Returns the claimed deliveries by subscriber. One to a person who may no longer be written to becomes
    ``skipped``; when the campaign is not being sent, or the lease has ended, it stays as it is. After an
    unconfirmed commit the same call may be repeated, after ``reset_claim``.
    """
    values = _parameters(campaign_id, outcomes, people, now)
    persons = [one for one in outcomes if _is_persons(one)]
    if is_sqlite() or persons:
        recorded, marked = _run_statements(values, persons, now)
    else:
        recorded, marked = _run_single_statement(values)
    claimed = {row[1]: ClaimedDelivery(*row) for row in marked}
    late = [one for one in outcomes if one[0].subscriber_id not in recorded]
    gone = [number for number in people if number not in claimed]
    if late:
        _record_late(campaign_id, late, now)
    if gone:
        skip_ineligible(campaign_id, gone)
    if late or gone:
        db.session.commit()
    return claimed


def _parameters(
    campaign_id: int, outcomes: Sequence[Outcome], people: Sequence[int], now: datetime
) -> dict[str, Any]:
    # Two at most are measured; a state named twice is the same as once.
    states: list[TrackingState | None] = [*states_allowing_tracking()] or [None]
    return {
        **_outcome_parameters(campaign_id, outcomes, now),
        "people": bind_list(people),
        "holder": owner(),
        "until": now + LEASE_DURATION,
        "measured_1": states[0],
        "measured_2": states[-1],
    }


def _outcome_parameters(campaign_id: int, outcomes: Sequence[Outcome], now: datetime) -> dict[str, Any]:
    """Return outcomes as the parameters of the statements: a JSON list."""
    rows = [outcome_columns(answered, now) for answered in outcomes]
    for row in rows:
        if row["due_at"] is not None:
            row["due_at"] = str(Delivery.due_at.type.process_bind_param(row["due_at"], dialect()))
    people = [row["subscriber_id"] for row in rows]
    return {"campaign": campaign_id, "answered": bind_list(people), "given": json.dumps(rows), "now": now}


def _run_single_statement(values: dict[str, Any]) -> tuple[set[int], list[tuple[Any, ...]]]:
    rows = get_statement("record_and_claim").run_autocommit(values)
    # A row without a campaign was recorded, one with it was claimed.
    return {row[1] for row in rows if row[0] is None}, [row for row in rows if row[0] is not None]


def _is_persons(answered: Outcome) -> bool:
    """Tell whether a mail is refused for good because of whom it was to."""
    claimed, reply = answered
    is_theirs = reply.whose in {Whose.PERSON_FOR_GOOD, Whose.PERSON_FOR_NOW}
    return is_theirs and status_of(reply, claimed.attempts) is DeliveryStatus.FAILED


def _run_statements(
    values: dict[str, Any], persons: Sequence[Outcome], now: datetime
) -> tuple[set[int], list[tuple[Any, ...]]]:
    recorded = get_statement("record").run(values)
    add_to_totals(values["campaign"], **_changes_of_totals(recorded))
    known = {row[0] for row in recorded}
    for claimed, reply in persons:
        if claimed.subscriber_id in known:
            refused.send(
                campaign_id=values["campaign"], subscriber_id=claimed.subscriber_id, reply=reply, now=now
            )
    claimed_rows = get_statement("claim").run(values)
    db.session.commit()
    return {row[0] for row in recorded}, claimed_rows


def _record_late(campaign_id: int, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Record outcomes that came after our lease had ended and the delivery become ``uncertain``."""
    log.warning("answers late", extra={"campaign_id": campaign_id, "count": len(outcomes)})
    recorded = get_statement("record_late").run(_outcome_parameters(campaign_id, outcomes, now))
    numbers = _changes_of_totals(recorded)
    numbers["uncertain"] -= len(recorded)
    add_to_totals(campaign_id, **numbers)


def _changes_of_totals(recorded: Sequence[Recorded]) -> Counter[str]:
    """Return the changes of the campaign's totals by recorded outcomes."""
    numbers = Counter(status for _subscriber, status, _measured in recorded)
    del numbers[DeliveryStatus.DEFERRED.value]
    numbers["measured"] = sum(
        bool(is_measured)
        for _subscriber, status, is_measured in recorded
        if status == DeliveryStatus.ACCEPTED.value
    )
    return numbers
