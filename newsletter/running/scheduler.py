"""A worker's own clock: it runs the periodic jobs, whether or not the queue of wake-ups can be reached."""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import timedelta

from flask import Flask

from newsletter.running.jobs import Job, run

log = logging.getLogger(__name__)

#: Each job is looked at so often.
PAUSE = 60.0
#: When the database was away, so soon.
RETRY = 5.0
_MINUTE = timedelta(minutes=1)
#: How often it is looked whether a job is stuck.
WATCH = 15.0


class Scheduler:
    """Runs jobs until told to stop: a thread for each lane, and another one in place of a stuck one."""

    def __init__(self, app: Flask, jobs: Sequence[Job], *, pause: float = PAUSE) -> None:
        self._app, self._jobs, self._pause = app, jobs, pause
        self._told = threading.Event()
        self._lanes: list[_Lane] = []

    def start(self) -> None:
        """Begin; every job is looked at once, right away."""
        self._lanes = [self._start_lane(name) for name in dict.fromkeys(job.lane for job in self._jobs)]
        threading.Thread(target=self._watch, name="periodic watch", daemon=True).start()

    def tell(self) -> None:
        """Let each lane end after the job it is at."""
        self._told.set()

    def join(self, seconds: float) -> None:
        """Wait for the lanes to end, so long at most."""
        deadline = time.monotonic() + seconds
        for lane in self._lanes:
            lane.join(max(0.0, deadline - time.monotonic()))

    def replace_stuck(self) -> None:
        """Give the lanes of jobs that have used up their time to fresh threads."""
        for position, lane in enumerate(self._lanes):
            if (job := lane.overdue()) is not None:
                log.error("periodic job over its time", extra={"job": job.name})
                lane.abandon()
                self._lanes[position] = self._start_lane(job.lane)

    def _start_lane(self, name: str) -> "_Lane":
        lane = _Lane(self._app, [job for job in self._jobs if job.lane == name], self._told, self._pause)
        lane.start()
        return lane

    def _watch(self) -> None:
        while not self._told.wait(min(WATCH, self._pause)):
            self.replace_stuck()


class _Lane(threading.Thread):
    """Jobs that run one after another."""

    def __init__(self, app: Flask, jobs: Sequence[Job], told: threading.Event, pause: float) -> None:
        super().__init__(name=f"periodic {jobs[0].lane}", daemon=True)
        self._app, self._jobs, self._told, self._pause = app, jobs, told, pause
        self._current: tuple[Job, float] | None = None
        self._is_abandoned = False

    def overdue(self) -> Job | None:
        """Return the job that has taken longer than it may."""
        if self._is_abandoned or (current := self._current) is None:
            return None
        job, began = current
        is_over = job.budget is not None and time.monotonic() - began > job.budget.total_seconds()
        return job if is_over else None

    def abandon(self) -> None:
        """Let it end after the job that it is stuck in; another has its place."""
        self._is_abandoned = True

    def run(self) -> None:
        """Look at each job, rest, and again. What comes each minute comes at once: somebody may have died."""
        is_first = True
        while not self._is_over():
            answers = [self._try(job, is_forced=is_first and job.every <= _MINUTE) for job in self._jobs]
            is_first = not all(answers) and is_first
            self._told.wait(self._pause if all(answers) else min(RETRY, self._pause))

    def _is_over(self) -> bool:
        return self._told.is_set() or self._is_abandoned

    def _try(self, job: Job, *, is_forced: bool) -> bool:
        """Run a job where it is due, or ``is_forced``; false when the database could not be asked."""
        if self._is_over():
            return True
        self._current = (job, time.monotonic())
        try:
            with self._app.app_context():
                run(job, is_forced=is_forced)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the others come next
            # One line, and no traceback: with the database away that is one for each job.
            log.error("periodic job not begun", extra={"job": job.name, "error": type(problem).__name__})  # noqa: TRY400
            return False
        finally:
            self._current = None
        return True
