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

from newsletter import wakeups
from newsletter.api import idempotency, webhooks
from newsletter.bounces import reputation_guard
from newsletter.bounces.personal_data import forget_old as forget_old_bounces
from newsletter.bounces.sources import mailbox
from newsletter.clock import utcnow
from newsletter.config import settings
from newsletter.db import db
from newsletter.durable import counters
from newsletter.ledger.audit import seal_log
from newsletter.mail import outbox
from newsletter.mail.deliverability import status
from newsletter.privacy.backup.database import ready_to_send
from newsletter.privacy.notice.versions import publish_first
from newsletter.privacy.retention.daily import run_daily_clocks
from newsletter.privacy.retention.erasure import scrub_if_due
from newsletter.privacy.retention.purge import purge_if_due
from newsletter.ratelimit import limiter
from newsletter.running.timer import SOONEST, Alarm
from newsletter.sending.lifecycle.release import start_due
from newsletter.sending.worker import deliver
from newsletter.staff.auth import sessions
from newsletter.stats.rollups.ingest import load_hits, load_spool
from newsletter.stats.rollups.periodic import keep_up
from newsletter.subscribers.consent.evidence import seal_ledger
from newsletter.subscribers.one_time_links import forget_links
from newsletter.subscribers.search import index_new
from newsletter.subscribers.signup import queue
from newsletter.subscribers.signup.confirm import expire_requests
from newsletter.subscribers.signup.funnel import store_looks
from newsletter.tracking.hit_log import waiting_bytes

log = logging.getLogger(__name__)

_delivering = threading.Lock()
_asked_again = threading.Event()
#: Rings when something of a campaign is due again.
alarm = Alarm("campaigns")

#: How long after a hit its figures may be looked at.
LOAD_SECONDS = 1.0
#: Whoever has signed up looks into the mailbox next.
SIGNUP_SECONDS = 0.2
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
        _deliver_single()


def _deliver_single() -> int:
    accepted = outbox.deliver_due()
    if accepted:
        counters.count("mails single", accepted)
        counters.store()
    return accepted


def deliver_campaigns() -> None:
    """Send what is due of every campaign.

    One at a time in a process, so that a long campaign never takes the thread that single mails
    wait for. Woken while at it, it looks once more before it ends.
    """
    _asked_again.set()
    if not _delivering.acquire(blocking=False):
        return
    try:
        alarm.set(SOONEST)  # for what fails below, as without a database
        while _asked_again.is_set():
            _asked_again.clear()
            if ready_to_send(utcnow()):
                deliver.deliver_due()
        due_at = deliver.next_due(utcnow()) if ready_to_send(utcnow()) else None
        alarm.set(None if due_at is None else (due_at - utcnow()).total_seconds())
    finally:
        _delivering.release()


def load_signups() -> None:
    """Store the signups of this machine, where no loader runs that does."""
    queue.load()


def tell_webhooks() -> None:
    """Tell other programs what is due; apart from the sweep, as they may be slow."""
    webhooks.deliver(utcnow())


def look_at_standing() -> None:
    """Ask how the world sees our mail; apart from the sweep, as name servers may be slow."""
    if status.is_demanded(settings()):
        status.refresh(utcnow())


def sweep() -> None:
    """Take back what dead workers held, and do whatever is due. Runs every minute."""
    wakeups.forget_waiting()
    outbox.release_expired(utcnow())
    deliver.sweep()
    _load_once(load_spool)
    deliver_outbox()
    mailbox.fetch(utcnow())
    reputation_guard.stop_if_needed(utcnow())
    start_due(utcnow())
    wakeups.wake_now("campaigns")
    expire_requests(utcnow())
    forget_links(utcnow())
    limiter.forget_ended()
    sessions.forget_old(utcnow())
    idempotency.forget_old(utcnow())
    db.session.commit()
    forget_old_bounces(utcnow())
    seal_ledger()
    seal_log()
    keep_up(utcnow())
    index_new()
    webhooks.collect(utcnow())
    wakeups.wake_now("webhooks")
    if status.is_demanded(settings()) and status.is_due(utcnow()):
        wakeups.wake_now("standing")
    purge_if_due(utcnow())
    scrub_if_due()
    run_daily_clocks(utcnow())
    publish_first(utcnow())


JOBS: dict[str, Callable[[], None]] = {
    "outbox": deliver_outbox,
    "campaigns": deliver_campaigns,
    "webhooks": tell_webhooks,
    "signups": load_signups,
    "standing": look_at_standing,
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
    mailbox.fetch(utcnow())
    status.refresh_if_due(utcnow())
    start_due(utcnow())
    load_spool()
    accepted = _deliver_single() + deliver.deliver_due()
    expire_requests(utcnow())
    forget_links(utcnow())
    seal_ledger()
    seal_log()
    index_new()
    keep_up(utcnow())
    return accepted


def load_for_ever(app: Flask) -> None:
    """Move hits and signups from this machine's spools into the database until TERM, and then once more.

    While the database is away, or full, the spools keep everything; tries become fewer.
    """
    os.nice(10)  # whoever waits for an answer goes first
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: told.set())
    spool_folder = Path(app.instance_path) / "spool"
    # A thread of their own: signups do not wait behind a flood of hits.
    signups = threading.Thread(target=keep_loading, args=(app, queue.load, SIGNUP_SECONDS, told))
    with queue.loading(app.config["NEWSLETTER"].instance_path):
        signups.start()
        keep_loading(app, Courtesy(spool_folder, told).load, LOAD_SECONDS, told)
        signups.join()


def keep_loading(app: Flask, load: Callable[[], object], pause: float, told: threading.Event) -> None:
    """Load again and again until told to end, and then once more."""
    failures = 0
    for turn in count():
        # Whoever serves pages has ended by then: what they left must be loaded from the beginning, and
        # a load that TERM found half-way may have been past it.
        is_last = told.is_set()
        with app.app_context():
            if turn % TURNS_BETWEEN_CLEANING == 0:
                limiter.forget_ended()  # the file of each machine that serves pages
            failures = 0 if _load_once(load) else failures + 1
        if is_last:
            return
        told.wait(min(pause * 2**failures, LONGEST_PAUSE))


class Courtesy:
    """Lets others have the machine: what the loader had to wait in a step, it rests after it, and more.

    So it works on when it is alone, and hardly at all while opens and clicks need everything there
    is. When a lot has gathered it no longer rests, so that the spool does not grow for ever.
    """

    def __init__(self, spool: Path, told: threading.Event) -> None:
        self._spool, self._told = spool, told
        self.begin()

    def load(self) -> None:
        """Load this machine's hits, resting between the steps."""
        self.begin()
        load_hits(self.rest)

    def begin(self) -> None:
        """Begin to measure a step."""
        self._wall, self._cpu = time.monotonic(), time.thread_time()

    def rest(self) -> None:
        """Rest after a step, unless told to end."""
        waited = time.monotonic() - self._wall - (time.thread_time() - self._cpu)
        if waiting_bytes(self._spool) < MOST_WAITING:
            self._told.wait(min(waited * REST, LONGEST_REST))
        self.begin()


def _load_once(load: Callable[[], object]) -> bool:
    try:
        load()
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
                counters.store()
            except Exception:
                # The database is away: what was counted is kept until it is back.
                log.exception("looks not stored")
