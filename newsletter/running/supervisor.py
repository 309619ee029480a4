"""Process supervision: web server, loader, worker, and the parent that restarts them.

Children are forks of a parent that has loaded the program, so they start at once and share its memory. A
child whose parent is gone ends too: nothing keeps the port after a kill.
"""

import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.process import BaseProcess
from types import FrameType

from flask import Flask
from huey.consumer import Consumer

from newsletter.db import db
from newsletter.errors import StartRefused
from newsletter.running.loader import flush_counters_forever
from newsletter.running.periodic import PERIODIC, campaign_timer
from newsletter.running.scheduler import Scheduler
from newsletter.sending.worker import deliver
from newsletter.wakeups import queue

log = logging.getLogger(__name__)

#: A child that dies is started again, but not more often than this.
RESTART_DELAY = 1.0
STOP_TIMEOUT = 30.0
#: In each process for pages: while one waits for the disk, the other works. More get in their way.
THREADS_PER_WORKER = 2
_PR_SET_PDEATHSIG = 1  # prctl(2)


class PortInUse(StartRefused):
    """The port is in use."""


def require_free_port(host: str, port: int) -> None:
    """Raise PortInUse when nobody could listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUse(
                reason=f"Port {port} on {host} cannot be used: {error.strerror}. Choose another with --port."
            ) from error


def serve_web(app: Flask, host: str, port: int, workers: int) -> None:
    """Serve the pages until told to stop: WSGI, two threads a worker."""
    from granian.constants import Interfaces  # noqa: PLC0415 - 4 MB, and a worker needs none of it
    from granian.server import Server  # noqa: PLC0415 - as above

    multiprocessing.set_start_method("fork", force=True)
    Server(
        app.import_name,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=THREADS_PER_WORKER,
        respawn_failed_workers=True,
        workers_kill_timeout=5,
        log_enabled=False,
    ).serve(target_loader=partial(_init_web_worker, app), wrap_loader=False)


def run_worker(app: Flask) -> None:
    """Do the work that is due, by our own clock and when the queue wakes us, until told to stop."""
    scheduler = Scheduler(app, PERIODIC)
    scheduler.start()
    threading.Thread(target=campaign_timer.run_forever, args=(app,), name="alarm", daemon=True).start()
    # Two threads: single mails do not wait behind a campaign. TERM lets a running job finish.
    consumer = _Consumer(
        queue(app),
        workers=2,
        max_delay=1.0,
        graceful_signal="TERM",
        shutdown_timeout=STOP_TIMEOUT,
        periodic=False,
    )
    consumer.scheduler_of_jobs = scheduler
    consumer.run()
    scheduler.join(STOP_TIMEOUT)


class _Consumer(Consumer):  # type: ignore[misc]
    """huey's own, which lets the connections finish their mails before it waits for the jobs."""

    scheduler_of_jobs: Scheduler

    def stop(self, graceful: bool = False) -> None:  # noqa: FBT001, FBT002 - huey's signature
        """Stop taking jobs, and let those that run end soon."""
        deliver.stop_sending()
        self.scheduler_of_jobs.tell()
        super().stop(graceful)


class Supervisor:
    """Child processes that are started together, kept alive, and stopped together."""

    def __init__(self, app: Flask, members: Mapping[str, Callable[[], None]]) -> None:
        self._app = app
        self._members = members
        self._children: dict[str, BaseProcess] = {}
        self._stopping = False

    def run(self) -> None:
        """Keep every child running until INT or TERM."""
        with self._app.app_context():
            db.engine.dispose()  # a connection must not be shared with a fork
        # What is loaded now stays. Left out of every later collection, it costs the children no time:
        # half of what storing an open takes, and pauses of pages.
        gc.collect()
        gc.freeze()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._request_stop)
        try:
            while not self._stopping:
                for name in self._members:
                    self._ensure_running(name)
                time.sleep(0.2)
        finally:
            self._stop_children()

    def _ensure_running(self, name: str) -> None:
        child = self._children.get(name)
        if child is not None and child.is_alive():
            return
        if child is not None:
            log.error("process died", extra={"process_name": name, "code": child.exitcode})
            time.sleep(RESTART_DELAY)
        fork = multiprocessing.get_context("fork")
        self._children[name] = fork.Process(target=self._run_child, args=(name,), name=name)
        self._children[name].start()

    def _run_child(self, name: str) -> None:
        # A group of its own: Ctrl-C reaches only the parent, which stops its children in good order.
        os.setpgid(0, 0)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        _init_child(self._app)
        self._members[name]()

    def _request_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _stop_children(self) -> None:
        deadline = time.monotonic() + STOP_TIMEOUT
        # The loader after all others: it then loads what the pages have left behind.
        for is_loader in (False, True):
            children = [child for name, child in self._children.items() if (name == "loader") is is_loader]
            for child in children:
                child.terminate()
            for child in children:
                child.join(max(0.1, deadline - time.monotonic()))
                if child.is_alive():
                    child.kill()


def _init_web_worker(app: Flask) -> Flask:
    """Make a fork one that serves pages, with a thread that stores what it has counted."""
    threading.Thread(
        target=flush_counters_forever, args=(_init_child(app),), name="looks", daemon=True
    ).start()
    return app


def _init_child(app: Flask) -> Flask:
    """Make a fork independent of the connections of its parent, and dependent on its life."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    with app.app_context():
        db.engine.dispose(close=False)
    return app
