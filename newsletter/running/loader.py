"""The loader: it moves what this machine has taken in into the database, and gives way to whoever waits."""

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
from newsletter.subscribers.signup.funnel import store_looks
from newsletter.tracking.hit_log import pending_bytes

log = logging.getLogger(__name__)

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
                limiter.delete_expired()  # the file of each machine that serves pages
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
        if pending_bytes(self._spool) < MOST_WAITING:
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
                counters.flush()
            except Exception:
                # The database is away: what was counted is kept until it is back.
                log.exception("looks not stored")
