"""The opt-in funnel: from the form to the subscription, counted by day, list, language and form.

Counts only: no cookie, no address, nothing that points to anyone. A step that changes something is
counted in its own transaction. A page that is only looked at must not wait for the database, so
looks are noted in memory and stored every few seconds: what a process had noted since then is lost
when it ends.
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

#: Processes share a count by this many rows; on SQLite writers take turns anyway.
SHARDS = 16
#: A stranger can name any site as the one with the form: beyond this many a day they are one.
HOSTS_A_DAY = 50
OTHER = "other"
_HOST = re.compile(r"[a-z0-9.-]{1,253}")

#: Sent with ``counts`` of months that are over, by key, in the transaction that has stored them.
counted_late = Namespace().signal("counted late")

#: Day, list, language, form, step.
Key = tuple[date, int, str, str, FunnelStep]


class Looks:
    """What this process has noted and not stored yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Key] = Counter()

    def add(self, counts: Iterable[Key]) -> None:
        """Note one look for each."""
        with self._lock:
            self._counts.update(counts)

    def take(self) -> Counter[Key]:
        """Return everything noted and forget it."""
        with self._lock:
            taken, self._counts = self._counts, Counter()
        return taken


def init_app(app: Flask) -> None:
    """Begin to note looks, and hear of accepted mails."""
    app.extensions["newsletter.looks"] = Looks()
    mail_accepted.connect(_record_accepted)


def host_of(form_url: str | None) -> str:
    """Return the site that a form stands on, as the funnel names it."""
    host = (urlsplit(form_url or "").hostname or "").lower()
    return host if _HOST.fullmatch(host) else OTHER


def note(
    step: FunnelStep, lists: Iterable[MailingList], *, language: str, form_host: str, now: datetime
) -> None:
    """Count a look, without touching the database."""
    looks: Looks = current_app.extensions["newsletter.looks"]
    looks.add(keys_of(step, [item.id for item in lists], language=language, form_host=form_host, now=now))


def note_opened(signup: Signup, *, now: datetime) -> None:
    """Count a look at a confirmation page."""
    if signup.form_host is not None:
        note(
            FunnelStep.PAGE_OPENED,
            signup.lists,
            language=signup.language,
            form_host=signup.form_host,
            now=now,
        )


def record(
    step: FunnelStep, list_ids: Iterable[int], *, language: str, form_host: str, now: datetime
) -> None:
    """Count a step in the caller's transaction, and store what was noted meanwhile."""
    record_all(keys_of(step, list_ids, language=language, form_host=form_host, now=now))


def record_all(keys: Iterable[Key]) -> None:
    """Count many steps, as ``record`` counts one."""
    looks: Looks = current_app.extensions["newsletter.looks"]
    counts = looks.take()
    counts.update(keys)
    _store(counts)


def store_looks() -> None:
    """Store what this process has noted. Commits; keeps it all when the database is away."""
    looks: Looks = current_app.extensions["newsletter.looks"]
    counts = looks.take()
    try:
        _store(counts)
        db.session.commit()
    except sa.exc.SQLAlchemyError:
        db.session.rollback()
        looks.add(counts.elements())
        raise


def of_mail(list_ids: Iterable[int], language: str, form_host: str | None) -> list[Any] | None:
    """Return what a confirmation mail carries along to be counted when it is accepted."""
    return None if form_host is None else [list(list_ids), language, form_host]


def _record_accepted(_sender: object, *, mail: OutboxMail, now: datetime) -> None:
    counted = (mail.context or {}).get("funnel")
    if counted:
        list_ids, language, form_host = counted
        record(FunnelStep.MAIL_ACCEPTED, list_ids, language=language, form_host=form_host, now=now)


def keys_of(
    step: FunnelStep, list_ids: Iterable[int], *, language: str, form_host: str, now: datetime
) -> list[Key]:
    """Return what a step is counted under, once for each list."""
    day = now.astimezone(current_settings().timezone).date()
    return [(day, list_id, language, form_host, step) for list_id in list_ids]


def _store(counts: Counter[Key]) -> None:
    if not counts:
        return
    shard = 0 if is_sqlite() else os.getpid() % SHARDS
    summed: Counter[Key] = Counter()
    for (day, list_id, language, form_host, step), count in counts.items():
        summed[day, list_id, language, _known_host(day, form_host), step] += count
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
        # In a fixed order, so that two never wait for each other.
        for (day, list_id, language, form_host, step), count in sorted(
            summed.items(), key=lambda item: (*item[0][:4], item[0][4].value)
        )
    ]
    execute_dml(_adding(for_sqlite=is_sqlite()), rows)
    month = utcnow().astimezone(current_settings().timezone).date().replace(day=1)
    if late := {key: count for key, count in summed.items() if key[0] < month}:
        counted_late.send(counts=late)


@cache
def _adding(*, for_sqlite: bool) -> sa.Insert:
    target = table_of(FunnelCount)
    insert = sqlite.insert(target) if for_sqlite else postgresql.insert(target)
    return insert.on_conflict_do_update(
        index_elements=list(target.primary_key.columns),
        set_={"count": target.c.count + insert.excluded.count},
    )


def _known_host(day: date, host: str) -> str:
    """Return the host, or OTHER when the day has named enough of them already."""
    known: dict[date, set[str]] = current_app.extensions.setdefault("newsletter.funnel_hosts", {})
    if host not in known.get(day, ()):
        stored = sa.select(FunnelCount.form_host).where(FunnelCount.day == day).distinct()
        named = {OTHER, *db.session.scalars(stored)}
        if host not in named and len(named) > HOSTS_A_DAY:
            return OTHER
        known.clear()
        known[day] = named | {host}
    return host
