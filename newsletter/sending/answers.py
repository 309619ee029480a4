"""What a server's answer makes of a delivery. Each answer is recorded and counted once.

Almost all answers are the same 250, so those that are alike are recorded by one statement.
"""

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from newsletter.db import among, dialect, listed, table_of
from newsletter.leases import owner
from newsletter.mail.outbox import RETRY_AFTER
from newsletter.mail.transport import Fault, Reply
from newsletter.sending.claim import Claimed, count
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.prepared import Prepared, Started

log = logging.getLogger(__name__)

#: A delivery handed over, and what became of it.
Answered = tuple[Claimed, Reply]

_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"']+@[^\s<>()\[\],;:\"']+")

_ROWS = table_of(Delivery)
_ANSWER: dict[str, Any] = {
    name: sa.bindparam(f"new_{name}", type_=_ROWS.c[name].type)
    for name in ("status", "due_at", "accepted_at", "reply_code", "reply_text")
} | {"leased_by": None, "leased_until": None}


@cache
def _recording(dialect: Dialect, *, is_late: bool) -> Prepared:
    these = sa.and_(
        _ROWS.c.campaign_id == sa.bindparam("campaign"),
        among(_ROWS.c.subscriber_id, "people", for_sqlite=dialect.name == "sqlite"),
        _ROWS.c.attempts == sa.bindparam("try"),
    )
    # Our lease may have ended while the server thought, and the delivery been given up meanwhile.
    given_up = _ROWS.c.status == DeliveryStatus.UNCERTAIN
    held = sa.and_(_ROWS.c.leased_by == sa.bindparam("holder"), _ROWS.c.status == DeliveryStatus.SENDING)
    update = sa.update(_ROWS).where(these, given_up if is_late else held)
    return Prepared(update.values(_ANSWER).returning(_ROWS.c.subscriber_id), dialect)


def record(answers: Iterable[Answered], now: datetime) -> None:
    """Record answers of one campaign and count them, in the caller's transaction."""
    start_recording(answers, now)()


def start_recording(answers: Iterable[Answered], now: datetime) -> Callable[[], None]:
    """Do the first half of ``record``, and return what does the second: it waits for the database."""
    alike: dict[tuple[Any, ...], list[Claimed]] = defaultdict(list)
    for claimed, reply in answers:
        status = status_of(reply, claimed.attempts)
        text = None if reply.is_accepted else without_addresses(reply.text)
        alike[status, claimed.attempts, reply.code or None, text].append(claimed)
    started = []
    for (status, attempts, code, text), people in alike.items():
        deferred = status is DeliveryStatus.DEFERRED
        accepted = status is DeliveryStatus.ACCEPTED
        values = {
            "campaign": people[0].campaign_id,
            "try": attempts,
            "new_status": status,
            "new_due_at": now + RETRY_AFTER[attempts - 1] if deferred else None,
            "new_accepted_at": now if accepted else None,
            "new_reply_code": code,
            "new_reply_text": text,
        }
        written = _write([one.subscriber_id for one in people], values | {"holder": owner()})
        started.append((people, values, written))

    def finish() -> None:
        for people, values, written in started:
            _count(people, values, {number for (number,) in written.rows()})

    return finish


def status_of(reply: Reply, attempts: int) -> DeliveryStatus:
    """Tell what becomes of a delivery after so many tries."""
    if reply.is_accepted:
        return DeliveryStatus.ACCEPTED
    if reply.is_uncertain:
        return DeliveryStatus.UNCERTAIN
    # A fault of ours is never blamed on the person: it is tried again once we have mended it.
    is_ours = reply.fault in {Fault.POLICY, Fault.LOGIN}
    if (reply.is_retryable or is_ours) and attempts <= len(RETRY_AFTER):
        return DeliveryStatus.DEFERRED
    return DeliveryStatus.FAILED


def without_addresses(text: str) -> str:
    """Cut mail addresses out of what a server said."""
    return _ADDRESS.sub("…", text)


def _count(people: Sequence[Claimed], values: dict[str, Any], found: set[int]) -> None:
    """Count answers that are alike, and those among them that came after their lease."""
    campaign_id: int = values["campaign"]
    missing = [one.subscriber_id for one in people if one.subscriber_id not in found]
    late: set[int] = set()
    if missing:
        late = {number for (number,) in _write(missing, values, is_late=True).rows()}
        log.warning("answers late", extra={"campaign_id": campaign_id, "count": len(missing)})
    numbers = Counter({values["new_status"].value: len(found) + len(late)})
    if values["new_status"] is DeliveryStatus.ACCEPTED:
        numbers["measured"] = sum(
            one.is_measured for one in people if one.subscriber_id in found or one.subscriber_id in late
        )
    numbers["uncertain"] -= len(late)
    numbers.pop(DeliveryStatus.DEFERRED.value, None)
    count(campaign_id, **numbers)


def _write(people: Iterable[int], values: dict[str, Any], *, is_late: bool = False) -> Started:
    """Write one answer to several rows; its rows say whose they were."""
    return _recording(dialect(), is_late=is_late).start(values | {"people": listed(people)})
