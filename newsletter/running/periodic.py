"""Jobs of the worker and the loader. Each finds out itself what is due, so running it twice is harmless."""

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
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.durable import counters
from newsletter.ledger.audit import seal_log
from newsletter.mail import outbox
from newsletter.mail.deliverability import status
from newsletter.privacy.backup.database import ready_to_send
from newsletter.privacy.notice.versions import publish_first_version
from newsletter.privacy.retention.daily import run_daily_jobs
from newsletter.privacy.retention.erasure import scrub_if_due
from newsletter.privacy.retention.purge import purge_if_due
from newsletter.ratelimit import limiter
from newsletter.running.timer import MIN_DELAY, WakeupTimer
from newsletter.sending.lifecycle.release import start_due
from newsletter.sending.worker import deliver
from newsletter.staff.auth import sessions
from newsletter.stats.rollups.ingest import load_hits, load_local_logs
from newsletter.stats.rollups.periodic import run_periodic_tasks
from newsletter.subscribers.consent.evidence import seal_ledger
from newsletter.subscribers.one_time_links import forget_links
from newsletter.subscribers.search import index_new
from newsletter.subscribers.signup import queue
from newsletter.subscribers.signup.confirm import expire_requests
from newsletter.subscribers.signup.funnel import store_looks
from newsletter.tracking.hit_log import pending_bytes

log = logging.getLogger(__name__)

_delivery_lock = threading.Lock()
_delivery_requested = threading.Event()
#: Fires when a campaign's delivery is due again.
campaign_timer = WakeupTimer("campaigns")

#: Seconds between loads of hits.
HIT_LOAD_INTERVAL = 1.0
#: Seconds between loads of signups: the person waits for the confirmation mail.
SIGNUP_LOAD_INTERVAL = 0.2
MAX_RETRY_DELAY = 30.0
#: The loader rests this many times as long as it had to wait in a step, at most MAX_REST seconds.
REST_FACTOR = 2.0
MAX_REST = 1.0
#: Bytes in the hit log from which on it does not rest: some 500,000 hits.
MAX_BACKLOG_BYTES = 64_000_000
LOADS_BETWEEN_CLEANUPS = 60
#: Seconds that counts of form views may wait in memory.
COUNTER_FLUSH_INTERVAL = 5.0


def deliver_outbox() -> None:
    """Send the confirmation and other single mails that are due."""
    if ready_to_send(utcnow()):
        _deliver_single()


def _deliver_single() -> int:
    accepted = outbox.deliver_due()
    if accepted:
        counters.increment("mails single", accepted)
        counters.flush()
    return accepted


def deliver_campaigns() -> None:
    """Send what is due of every campaign.

    One at a time in a process, so that a long campaign never takes the thread that single mails
    wait for. Woken while at it, it looks once more before it ends.
    """
    _delivery_requested.set()
    if not _delivery_lock.acquire(blocking=False):
        return
    try:
        campaign_timer.schedule(MIN_DELAY)  # for what fails below, as without a database
        while _delivery_requested.is_set():
            _delivery_requested.clear()
            if ready_to_send(utcnow()):
                deliver.deliver_due()
        due_at = deliver.next_due(utcnow()) if ready_to_send(utcnow()) else None
        campaign_timer.schedule(None if due_at is None else (due_at - utcnow()).total_seconds())
    finally:
        _delivery_lock.release()


def load_signups() -> None:
    """Store the signups of this machine, where no loader runs that does."""
    queue.load()


def deliver_webhooks() -> None:
    """Deliver due webhooks; apart from the sweep, as receivers may be slow."""
    webhooks.deliver(utcnow())


def refresh_deliverability() -> None:
    """Refresh the deliverability checks; apart from the sweep, as name servers may be slow."""
    if status.is_required(current_settings()):
        status.refresh(utcnow())


def sweep() -> None:
    """Take back what dead workers held, and do whatever is due. Runs every minute."""
    wakeups.clear_pending()
    outbox.release_expired(utcnow())
    deliver.recover_abandoned()
    _try_load(load_local_logs)
    deliver_outbox()
    mailbox.fetch(utcnow())
    reputation_guard.stop_if_needed(utcnow())
    start_due(utcnow())
    wakeups.wake_now("campaigns")
    expire_requests(utcnow())
    forget_links(utcnow())
    limiter.delete_expired()
    sessions.delete_old_sessions(utcnow())
    idempotency.forget_old(utcnow())
    db.session.commit()
    forget_old_bounces(utcnow())
    seal_ledger()
    seal_log()
    run_periodic_tasks(utcnow())
    index_new()
    webhooks.collect(utcnow())
    wakeups.wake_now("webhooks")
    if status.is_required(current_settings()) and status.is_due(utcnow()):
        wakeups.wake_now("standing")
    purge_if_due(utcnow())
    scrub_if_due()
    run_daily_jobs(utcnow())
    publish_first_version(utcnow())


JOBS: dict[str, Callable[[], None]] = {
    "outbox": deliver_outbox,
    "campaigns": deliver_campaigns,
    "webhooks": deliver_webhooks,
    "signups": load_signups,
    "standing": refresh_deliverability,
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
    deliver.recover_abandoned()
    mailbox.fetch(utcnow())
    status.refresh_if_due(utcnow())
    start_due(utcnow())
    load_local_logs()
    accepted = _deliver_single() + deliver.deliver_due()
    expire_requests(utcnow())
    forget_links(utcnow())
    seal_ledger()
    seal_log()
    index_new()
    run_periodic_tasks(utcnow())
    return accepted


def run_loader(app: Flask) -> None:
    """Move hits and signups from this machine's spools into the database until TERM, and then once more.

    While the database is away, or full, the spools keep everything; tries become fewer.
    """
    os.nice(10)  # whoever waits for an answer goes first
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    spool_folder = Path(app.instance_path) / "spool"
    # A thread of their own: signups do not wait behind a flood of hits.
    signups = threading.Thread(target=load_repeatedly, args=(app, queue.load, SIGNUP_LOAD_INTERVAL, stop))
    with queue.loading(app.config["NEWSLETTER"].instance_path):
        signups.start()
        load_repeatedly(app, LoaderBackoff(spool_folder, stop).load, HIT_LOAD_INTERVAL, stop)
        signups.join()


def load_repeatedly(app: Flask, load: Callable[[], object], pause: float, stop: threading.Event) -> None:
    """Load again and again until told to end, and then once more."""
    failures = 0
    for iteration in count():
        # Whoever serves pages has ended by then: what they left must be loaded from the beginning, and
        # a load that TERM found half-way may have been past it.
        is_last = stop.is_set()
        with app.app_context():
            if iteration % LOADS_BETWEEN_CLEANUPS == 0:
                limiter.delete_expired()  # the file of each machine that serves pages
            failures = 0 if _try_load(load) else failures + 1
        if is_last:
            return
        stop.wait(min(pause * 2**failures, MAX_RETRY_DELAY))


class LoaderBackoff:
    """Adaptive pause of the loader: after each step it rests in proportion to the time it had to wait.

    So it works on when it is alone, and hardly at all while opens and clicks need everything there
    is. When a lot has gathered it no longer rests, so that the spool does not grow for ever.
    """

    def __init__(self, spool: Path, stop: threading.Event) -> None:
        self._spool, self._stop = spool, stop
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
        if pending_bytes(self._spool) < MAX_BACKLOG_BYTES:
            self._stop.wait(min(waited * REST_FACTOR, MAX_REST))
        self.begin()


def _try_load(load: Callable[[], object]) -> bool:
    try:
        load()
    except Exception:
        log.exception("spool not loaded")
        db.session.rollback()
        return False
    return True


def flush_counters_forever(app: Flask) -> None:
    """Store this process's in-memory counters every few seconds, for ever."""
    while True:
        time.sleep(COUNTER_FLUSH_INTERVAL)
        with app.app_context():
            try:
                store_looks()
                counters.flush()
            except Exception:
                # The database is away: what was counted is kept until it is back.
                log.exception("looks not stored")
