"""A timer that wakes a job before the next minute's sweep.

So sending resumes within seconds after an outage, and deferred mail is retried on time. The timer is held in
memory only: whatever it loses, the sweep finds.
"""

import logging
import threading
import time

from flask import Flask

from newsletter.wakeups import wake_unless_pending

log = logging.getLogger(__name__)

#: Shortest delay in seconds: a server that is down is seldom back earlier, and must not be polled.
MIN_DELAY = 5.0


class WakeupTimer:
    """Wakes one job. It holds one due time."""

    def __init__(self, job: str) -> None:
        self._job = job
        self._changed = threading.Condition()
        self._due_at: float | None = None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until it fires; None when it is not set."""
        return None if self._due_at is None else self._due_at - time.monotonic()

    def schedule(self, seconds: float | None) -> None:
        """Fire in so many seconds, at least MIN_DELAY; None cancels."""
        with self._changed:
            self._due_at = None if seconds is None else time.monotonic() + max(seconds, MIN_DELAY)
            self._changed.notify()

    def run_forever(self, app: Flask) -> None:
        """Wake the workers whenever it is time."""
        while True:
            with self._changed:
                while (left := self.seconds_left) is None or left > 0:
                    self._changed.wait(left)
                self._due_at = None
            self._wake(app)

    def _wake(self, app: Flask) -> None:
        try:
            with app.app_context():
                wake_unless_pending(self._job)
        except Exception:
            # The queue may be where the database is, and away with it.
            log.exception("wake-up failed", extra={"job": self._job})
            self.schedule(MIN_DELAY)
