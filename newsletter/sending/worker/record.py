"""One step of the books: what was answered is recorded and counted, and who is next is marked.

PostgreSQL takes a step as one statement, which is a transaction by itself and one round trip. SQLite
has neither round trips nor such statements, and takes three in one transaction.
"""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from blinker import Namespace

from newsletter.db import db, dialect, is_sqlite, listed
from newsletter.db.leases import LEASE, owner
from newsletter.mail.replies.models import Whose
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.worker.leasing import Claimed, count, skip
from newsletter.sending.worker.outcomes import Answered, in_figures, status_of
from newsletter.sending.worker.sql import prepared
from newsletter.subscribers.consent.tracking import measured_states
from newsletter.subscribers.models import TrackingState

log = logging.getLogger(__name__)

#: Sent with campaign, person and reply, in the transaction that records it, of a mail refused for good
#: because of whom it was to.
refused = Namespace().signal("refused")
#: Subscriber, status, and whether the copy was measured.
Recorded = tuple[int, str, bool]


def settle(
    campaign_id: int, answers: Sequence[Answered], people: Sequence[int], now: datetime
) -> dict[int, Claimed]:
    """Record answers of one campaign, and mark leased deliveries ``sending``. Commits.

    Returns those that may be handed over, by subscriber. A person who may no longer be written to
    makes theirs ``skipped``; a campaign that is not on its way, or a lease that has ended, leaves it
    as it is. When the commit is not confirmed, all of it may be asked for again, after an ``unmark``.
    """
    values = _values(campaign_id, answers, people, now)
    persons = [one for one in answers if _is_persons(one)]
    if is_sqlite() or persons:
        recorded, marked = _step_by_step(values, persons, now)
    else:
        recorded, marked = _at_once(values)
    claimed = {row[1]: Claimed(*row) for row in marked}
    late = [one for one in answers if one[0].subscriber_id not in recorded]
    gone = [number for number in people if number not in claimed]
    if late:
        _record_late(campaign_id, late, now)
    if gone:
        skip(campaign_id, gone)
    if late or gone:
        db.session.commit()
    return claimed


def _values(
    campaign_id: int, answers: Sequence[Answered], people: Sequence[int], now: datetime
) -> dict[str, Any]:
    # Two at most are measured; a state named twice is the same as once.
    states: list[TrackingState | None] = [*measured_states()] or [None]
    return {
        **_given(campaign_id, answers, now),
        "people": listed(people),
        "holder": owner(),
        "until": now + LEASE,
        "measured_1": states[0],
        "measured_2": states[-1],
    }


def _given(campaign_id: int, answers: Sequence[Answered], now: datetime) -> dict[str, Any]:
    """Write answers as the statements read them."""
    rows = [in_figures(answered, now) for answered in answers]
    for row in rows:
        if row["due_at"] is not None:
            row["due_at"] = str(Delivery.due_at.type.process_bind_param(row["due_at"], dialect()))
    people = [row["subscriber_id"] for row in rows]
    return {"campaign": campaign_id, "answered": listed(people), "given": json.dumps(rows), "now": now}


def _at_once(values: dict[str, Any]) -> tuple[set[int], list[tuple[Any, ...]]]:
    rows = prepared("settle").run_alone(values)
    # What has no campaign was recorded, and not marked.
    return {row[1] for row in rows if row[0] is None}, [row for row in rows if row[0] is not None]


def _is_persons(answered: Answered) -> bool:
    """Tell whether a mail is refused for good because of whom it was to."""
    claimed, reply = answered
    is_theirs = reply.whose in {Whose.PERSON_FOR_GOOD, Whose.PERSON_FOR_NOW}
    return is_theirs and status_of(reply, claimed.attempts) is DeliveryStatus.FAILED


def _step_by_step(
    values: dict[str, Any], persons: Sequence[Answered], now: datetime
) -> tuple[set[int], list[tuple[Any, ...]]]:
    recorded = prepared("record").run(values)
    count(values["campaign"], **_numbers(recorded))
    known = {row[0] for row in recorded}
    for claimed, reply in persons:
        if claimed.subscriber_id in known:
            refused.send(
                campaign_id=values["campaign"], subscriber_id=claimed.subscriber_id, reply=reply, now=now
            )
    marked = prepared("mark").run(values)
    db.session.commit()
    return {row[0] for row in recorded}, marked


def _record_late(campaign_id: int, answers: Sequence[Answered], now: datetime) -> None:
    """Record what came when our lease had ended, and the delivery been given up."""
    log.warning("answers late", extra={"campaign_id": campaign_id, "count": len(answers)})
    recorded = prepared("record_late").run(_given(campaign_id, answers, now))
    numbers = _numbers(recorded)
    numbers["uncertain"] -= len(recorded)
    count(campaign_id, **numbers)


def _numbers(recorded: Sequence[Recorded]) -> Counter[str]:
    """Count what answers make of the totals."""
    numbers = Counter(status for _subscriber, status, _measured in recorded)
    del numbers[DeliveryStatus.DEFERRED.value]
    numbers["measured"] = sum(
        bool(is_measured)
        for _subscriber, status, is_measured in recorded
        if status == DeliveryStatus.ACCEPTED.value
    )
    return numbers
