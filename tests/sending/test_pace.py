"""The pace: MAIL_RATE messages a second, evenly."""

import pytest

from newsletter.sending import pace as pacing
from newsletter.sending.pace import Pace


class StoppedWatch:
    """Stands in for the clock of the machine: sleeping is all that moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


@pytest.fixture
def watch(monkeypatch) -> StoppedWatch:
    stopped = StoppedWatch()
    monkeypatch.setattr(pacing, "time", stopped)
    return stopped


def test_mails_leave_at_even_gaps(watch):
    pace = Pace(50)

    for _mail in range(4):
        pace.wait()

    assert watch.slept == [0, 0.02, 0.02, 0.02]


def test_time_that_passed_is_not_made_up_for(watch):
    pace = Pace(50)

    pace.wait()
    watch.now += 10
    pace.wait()
    pace.wait()

    assert watch.slept == [0, 0, 0.02]


def test_without_a_rate_nobody_waits(watch):
    pace = Pace(0)

    pace.wait()
    pace.wait()

    assert watch.slept == []
