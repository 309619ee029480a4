"""A worker's alarm clock: it wakes when something is due before the sweep of the next minute.

After an outage sending goes on within seconds, and what was refused for now is tried at its time. The
clock stands in memory only: whatever it forgets, the sweep finds.
"""

import logging
import threading
import time

from flask import Flask

from newsletter.wakeups import wake_soon

log = logging.getLogger(__name__)

#: Whoever is away is seldom back earlier, and is not to be asked all the time.
SOONEST = 5.0


class Alarm:
    """Wakes for one job. It can be set to one time at once."""

    def __init__(self, job: str) -> None:
        self._job = job
        self._changed = threading.Condition()
        self._rings_at: float | None = None

    @property
    def seconds(self) -> float | None:
        """In how many seconds it rings; None when it does not."""
        return None if self._rings_at is None else self._rings_at - time.monotonic()

    def set(self, seconds: float | None) -> None:
        """Let it ring in so many seconds, but not too soon; None is not at all."""
        with self._changed:
            self._rings_at = None if seconds is None else time.monotonic() + max(seconds, SOONEST)
            self._changed.notify()

    def ring_for_ever(self, app: Flask) -> None:
        """Wake the workers whenever it is time."""
        while True:
            with self._changed:
                while (left := self.seconds) is None or left > 0:
                    self._changed.wait(left)
                self._rings_at = None
            self._ring(app)

    def _ring(self, app: Flask) -> None:
        try:
            with app.app_context():
                wake_soon(self._job)
        except Exception:
            # The queue may be where the database is, and away with it.
            log.exception("wake-up failed", extra={"job": self._job})
            self.set(SOONEST)
