"""The loader: moves this machine's logs of hits and signups into the database, and gives way to others."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from flask import Flask

from newsletter.db import db
from newsletter.durable import counters
from newsletter.ratelimit import limiter
from newsletter.stats.rollups.ingest import load_hits
from newsletter.subscribers.signup import queue
from newsletter.subscribers.signup.funnel import flush_views
from newsletter.tracking.hit_log import pending_bytes

log = logging.getLogger(__name__)

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


def run_loader(app: Flask) -> None:
    """Move hits and signups from this machine's spools into the database until TERM, and then once more.

    While the database is away, or full, the spools keep everything; tries become fewer.
    """
    os.nice(10)  # whoever waits for an answer goes first
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    spool_folder = Path(app.instance_path) / "spool"
    # A thread of their own: signups do not wait behind a flood of hits.
    signups = threading.Thread(
        target=load_repeatedly, args=(app, queue.load_queued, SIGNUP_LOAD_INTERVAL, stop)
    )
    with queue.loader_running(app.config["NEWSLETTER"].instance_path):
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
                flush_views()
                counters.flush()
            except Exception:
                # The database is away: what was counted is kept until it is back.
                log.exception("looks not stored")
