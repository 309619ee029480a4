"""The pace: MAIL_RATE messages a second, evenly."""

import pytest

from newsletter.sending.pace import Pace


def test_mails_leave_at_even_gaps():
    pace = Pace(50)

    waits = [pace.wait(now) for now in (1000.0, 1000.0, 1000.0, 1000.01)]

    assert waits == pytest.approx([0, 0.02, 0.04, 0.05])


def test_time_that_passed_is_not_made_up_for():
    pace = Pace(50)

    waits = [pace.wait(now) for now in (1000.0, 1010.0, 1010.0)]

    assert waits == pytest.approx([0, 0, 0.02])


def test_without_a_rate_nobody_waits():
    pace = Pace(0)

    assert [pace.wait(1000.0), pace.wait(1000.0)] == [0, 0]
