"""What a worker does. Every job looks up for itself what is due, so none minds being called twice."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from flask import Flask

from newsletter import limits, wakeups
from newsletter.api import gate, webhooks
from newsletter.audit import seal_log
from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.mail import outbox
from newsletter.privacy.backup import ready_to_send
from newsletter.privacy.daily import run_daily_clocks
from newsletter.privacy.erasure import scrub_if_due
from newsletter.privacy.publishing import publish_first
from newsletter.privacy.purge import purge_if_due
from newsletter.sending import deliver
from newsletter.sending.release import start_due
from newsletter.staff import sessions
from newsletter.stats.rollups import load_spool
from newsletter.stats.upkeep import keep_up
from newsletter.subscribers.confirm import expire_requests
from newsletter.subscribers.evidence import seal_ledger
from newsletter.subscribers.fresh_links import forget_links
from newsletter.subscribers.funnel import store_looks
from newsletter.subscribers.search import index_new
from newsletter.tracking.spool import waiting_bytes

log = logging.getLogger(__name__)

_delivering = threading.Lock()
_asked_again = threading.Event()

#: How long after a hit its figures may be looked at.
LOAD_SECONDS = 1.0
LONGEST_PAUSE = 30.0
#: Of the time it had to wait in a step, what the loader rests after it; in seconds at most.
REST = 2.0
LONGEST_REST = 1.0
#: Bytes in the spool from which on it does not rest: some 500,000 hits.
MOST_WAITING = 64_000_000
TURNS_BETWEEN_CLEANING = 60
#: How long a look at a form may wait in memory.
LOOK_SECONDS = 5.0


def deliver_outbox() -> None:
    """Send the confirmation and other single mails that are due."""
    if ready_to_send(utcnow()):
        outbox.deliver_due()


def deliver_campaigns() -> None:
    """Send what is due of every campaign.

    One at a time in a process, so that a long campaign never takes the thread that single mails
    wait for. Woken while at it, it looks once more before it ends.
    """
    if not ready_to_send(utcnow()):
        return
    _asked_again.set()
    if not _delivering.acquire(blocking=False):
        return
    try:
        while _asked_again.is_set():
            _asked_again.clear()
            deliver.deliver_due()
    finally:
        _delivering.release()


def tell_webhooks() -> None:
    """Tell other programs what is due; apart from the sweep, as they may be slow."""
    webhooks.deliver(utcnow())


def sweep() -> None:
    """Take back what dead workers held, and do whatever is due. Runs every minute."""
    wakeups.forget_waiting()
    outbox.release_expired(utcnow())
    deliver.sweep()
    deliver_outbox()
    start_due(utcnow())
    wakeups.wake_now("campaigns")
    expire_requests(utcnow())
    forget_links(utcnow())
    limits.forget_ended()
    sessions.forget_old(utcnow())
    gate.forget_old(utcnow())
    db.session.commit()
    seal_ledger()
    seal_log()
    keep_up(utcnow())
    index_new()
    webhooks.collect(utcnow())
    wakeups.wake_now("webhooks")
    purge_if_due(utcnow())
    scrub_if_due()
    run_daily_clocks(utcnow())
    publish_first(utcnow())


JOBS: dict[str, Callable[[], None]] = {
    "outbox": deliver_outbox,
    "campaigns": deliver_campaigns,
    "webhooks": tell_webhooks,
    "sweep": sweep,
}


def init_app(app: Flask) -> None:
    """Say what each wake-up does."""
    wakeups.register(app, JOBS)


def work_until_idle() -> int:
    """Work off all that is due now and return how many mails were accepted."""
    if not ready_to_send(utcnow()):
        return 0
    outbox.release_expired(utcnow())
    deliver.sweep()
    start_due(utcnow())
    accepted = outbox.deliver_due() + deliver.deliver_due()
    expire_requests(utcnow())
    forget_links(utcnow())
    seal_ledger()
    seal_log()
    index_new()
    load_spool()
    keep_up(utcnow())
    return accepted


def load_for_ever(app: Flask) -> None:
    """Move hits from this machine's spool into the database until TERM, and then once more.

    While the database is away, or full, the spool keeps everything; tries become fewer.
    """
    os.nice(10)  # whoever waits for an answer goes first; hits can wait
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: told.set())
    courtesy = Courtesy(Path(app.instance_path) / "spool", told)
    failures = 0
    for turn in count():
        # Whoever serves pages has ended by then: what they left must be loaded from the beginning, and
        # a load that TERM found half-way may have been past it.
        is_last = told.is_set()
        with app.app_context():
            if turn % TURNS_BETWEEN_CLEANING == 0:
                limits.forget_ended()  # the file of each machine that serves pages
            courtesy.begin()
            failures = 0 if _load_once(courtesy.rest) else failures + 1
        if is_last:
            return
        told.wait(min(LOAD_SECONDS * 2**failures, LONGEST_PAUSE))


class Courtesy:
    """Lets others have the machine: what the loader had to wait in a step, it rests after it, and more.

    So it works on when it is alone, and hardly at all while opens and clicks need everything there
    is. When a lot has gathered it no longer rests, so that the spool does not grow for ever.
    """

    def __init__(self, spool: Path, told: threading.Event) -> None:
        self._spool, self._told = spool, told
        self.begin()

    def begin(self) -> None:
        """Begin to measure a step."""
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def rest(self) -> None:
        """Rest after a step, unless told to end."""
        waited = time.monotonic() - self._wall - (time.process_time() - self._cpu)
        if waiting_bytes(self._spool) < MOST_WAITING:
            self._told.wait(min(waited * REST, LONGEST_REST))
        self.begin()


def _load_once(rest: Callable[[], None]) -> bool:
    try:
        load_spool(rest)
    except Exception:
        log.exception("spool not loaded")
        db.session.rollback()
        return False
    return True


def store_looks_for_ever(app: Flask) -> None:
    """Store what this process counts of its pages until it is told to stop."""
    while True:
        time.sleep(LOOK_SECONDS)
        with app.app_context():
            try:
                store_looks()
            except Exception:
                # The database is away: what was counted is kept until it is back.
                log.exception("looks not stored")
