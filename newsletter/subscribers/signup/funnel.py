"""The opt-in funnel: counts of steps by day, list, language and site, without personal data.

Steps that write (form sent, mail accepted, confirmed) are counted in their own transaction. Page views
must not wait for the database: they are buffered in memory and flushed every few seconds; what a process
has buffered is lost when it is killed.
"""

import logging
import os
import re
import threading
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from blinker import Namespace
from flask import Flask, current_app
from sqlalchemy.dialects import postgresql, sqlite

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db, execute_dml, is_sqlite, table_of
from newsletter.mail.models import OutboxMail
from newsletter.mail.outbox import mail_accepted
from newsletter.subscribers.models import FunnelCount, FunnelStep, MailingList, Signup

log = logging.getLogger(__name__)

#: Rows that a count is spread over; SQLite has one writer at a time and needs one.
SHARDS = 16
#: The host of the form is client input: beyond this many a day all are counted as OTHER_HOST.
MAX_HOSTS_PER_DAY = 50
OTHER_HOST = "other"
_HOST_PATTERN = re.compile(r"[a-z0-9.-]{1,253}")

#: Signal, sent with ``counts`` by key for months that are over, in the transaction that stores them.
late_counts_stored = Namespace().signal("counted late")

#: Day, list id, language, host of the form, step.
CountKey = tuple[date, int, str, str, FunnelStep]


class ViewBuffer:
    """Page views of this process that have not been flushed yet. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[CountKey] = Counter()

    def add(self, counts: Iterable[CountKey]) -> None:
        """Count one view for each key."""
        with self._lock:
            self._counts.update(counts)

    def drain(self) -> Counter[CountKey]:
        """Return all counts and clear the buffer."""
        with self._lock:
            taken, self._counts = self._counts, Counter()
        return taken


def init_app(app: Flask) -> None:
    """Create the buffer, and connect to the signal of accepted mails."""
    app.extensions["newsletter.looks"] = ViewBuffer()
    mail_accepted.connect(_record_mail_accepted)


def host_of_url(form_url: str | None) -> str:
    """Return the host of the page with the form, or OTHER_HOST."""
    host = (urlsplit(form_url or "").hostname or "").lower()
    return host if _HOST_PATTERN.fullmatch(host) else OTHER_HOST


def buffer_view(
    step: FunnelStep, lists: Iterable[MailingList], *, language: str, form_host: str, now: datetime
) -> None:
    """Count a page view in memory."""
    looks: ViewBuffer = current_app.extensions["newsletter.looks"]
    looks.add(count_keys(step, [item.id for item in lists], language=language, form_host=form_host, now=now))


def buffer_page_opened(signup: Signup, *, now: datetime) -> None:
    """Count a view of a confirmation page in memory."""
    if signup.form_host is not None:
        buffer_view(
            FunnelStep.PAGE_OPENED,
            signup.lists,
            language=signup.language,
            form_host=signup.form_host,
            now=now,
        )


def record_step(
    step: FunnelStep, list_ids: Iterable[int], *, language: str, form_host: str, now: datetime
) -> None:
    """Count a step in the caller's transaction, and flush the buffered views with it."""
    record_steps(count_keys(step, list_ids, language=language, form_host=form_host, now=now))


def record_steps(keys: Iterable[CountKey]) -> None:
    """Count several steps, as ``record_step`` counts one."""
    looks: ViewBuffer = current_app.extensions["newsletter.looks"]
    counts = looks.drain()
    counts.update(keys)
    _upsert_counts(counts)


def flush_views() -> None:
    """Flush the buffered views. Commits; keeps them when the database is unavailable, and raises."""
    looks: ViewBuffer = current_app.extensions["newsletter.looks"]
    counts = looks.drain()
    try:
        _upsert_counts(counts)
        db.session.commit()
    except sa.exc.SQLAlchemyError:
        db.session.rollback()
        looks.add(counts.elements())
        raise


def mail_context(list_ids: Iterable[int], language: str, form_host: str | None) -> list[Any] | None:
    """Return the data a confirmation mail carries so that its acceptance can be counted."""
    return None if form_host is None else [list(list_ids), language, form_host]


def _record_mail_accepted(_sender: object, *, mail: OutboxMail, now: datetime) -> None:
    counted = (mail.context or {}).get("funnel")
    if counted:
        list_ids, language, form_host = counted
        record_step(FunnelStep.MAIL_ACCEPTED, list_ids, language=language, form_host=form_host, now=now)


def count_keys(
    step: FunnelStep, list_ids: Iterable[int], *, language: str, form_host: str, now: datetime
) -> list[CountKey]:
    """Return the count key of a step for each list."""
    day = now.astimezone(current_settings().timezone).date()
    return [(day, list_id, language, form_host, step) for list_id in list_ids]


def _upsert_counts(counts: Counter[CountKey]) -> None:
    if not counts:
        return
    shard = 0 if is_sqlite() else os.getpid() % SHARDS
    summed: Counter[CountKey] = Counter()
    for (day, list_id, language, form_host, step), count in counts.items():
        summed[day, list_id, language, _limit_hosts(day, form_host), step] += count
    rows = [
        {
            "day": day,
            "list_id": list_id,
            "language": language,
            "form_host": form_host,
            "step": step,
            "shard": shard,
            "count": count,
        }
        # In a fixed order, against deadlocks.
        for (day, list_id, language, form_host, step), count in sorted(
            summed.items(), key=lambda item: (*item[0][:4], item[0][4].value)
        )
    ]
    execute_dml(_upsert_statement(for_sqlite=is_sqlite()), rows)
    month = utcnow().astimezone(current_settings().timezone).date().replace(day=1)
    if late := {key: count for key, count in summed.items() if key[0] < month}:
        late_counts_stored.send(counts=late)


@cache
def _upsert_statement(*, for_sqlite: bool) -> sa.Insert:
    target = table_of(FunnelCount)
    insert = sqlite.insert(target) if for_sqlite else postgresql.insert(target)
    return insert.on_conflict_do_update(
        index_elements=list(target.primary_key.columns),
        set_={"count": target.c.count + insert.excluded.count},
    )


def _limit_hosts(day: date, host: str) -> str:
    """Return the host, or OTHER_HOST when MAX_HOSTS_PER_DAY is reached."""
    known: dict[date, set[str]] = current_app.extensions.setdefault("newsletter.funnel_hosts", {})
    if host not in known.get(day, ()):
        stored = sa.select(FunnelCount.form_host).where(FunnelCount.day == day).distinct()
        named = {OTHER_HOST, *db.session.scalars(stored)}
        if host not in named and len(named) > MAX_HOSTS_PER_DAY:
            return OTHER_HOST
        known.clear()
        known[day] = named | {host}
    return host
