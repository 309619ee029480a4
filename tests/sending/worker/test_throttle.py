"""The pace: MAIL_RATE messages a second, evenly, and no domain more than its share."""

import pytest

from newsletter.sending.worker.leasing import LeasedDelivery
from newsletter.sending.worker.throttle import DomainQueue, SendRate


def test_mails_leave_at_even_gaps():
    pace = SendRate(50)

    waits = [pace.delay(now) for now in (1000.0, 1000.0, 1000.0, 1000.01)]

    assert waits == pytest.approx([0, 0.02, 0.04, 0.05])


def test_time_that_passed_is_not_made_up_for():
    pace = SendRate(50)

    waits = [pace.delay(now) for now in (1000.0, 1010.0, 1010.0)]

    assert waits == pytest.approx([0, 0, 0.02])


def test_without_a_rate_nobody_waits():
    pace = SendRate(0)

    assert [pace.delay(1000.0), pace.delay(1000.0)] == [0, 0]


# --- each domain -----------------------------------------------------------------------------------


def waiting(*addresses: str, rate: int = 0, at_once: int = 0) -> DomainQueue:
    made = DomainQueue(rate=rate, at_once=at_once)
    made.add(LeasedDelivery(number, address) for number, address in enumerate(addresses, start=1))
    return made


def taken(line: DomainQueue, now: float) -> str | None:
    leased = line.pop_ready(now)
    return leased.address if leased else None


def test_sb7_a_domain_that_has_had_its_share_is_passed_over():
    line = waiting("a@one.example", "b@ONE.example", "c@two.example", rate=10)

    assert [taken(line, 100.0) for _turn in range(3)] == ["a@one.example", "c@two.example", None]
    assert line.delay(100.0) == pytest.approx(0.1)
    assert [taken(line, 100.09), taken(line, 100.11)] == [None, "b@ONE.example"]


def test_sb7_so_many_mails_at_most_are_under_way_to_a_domain():
    line = waiting("a@one.example", "b@one.example", "c@one.example", at_once=2)
    first = line.pop_ready(100.0)

    assert first is not None
    assert [taken(line, 100.0), taken(line, 100.0)] == ["b@one.example", None]
    line.record_reply(first, refused_for_now=False)
    assert taken(line, 100.0) == "c@one.example"


@pytest.mark.parametrize(("refusals", "gap"), [(3, 0.05), (4, 0.1), (7, 0.8), (8, 1.0), (30, 1.0)])
def test_sb7_a_domain_that_refuses_for_now_is_written_to_more_slowly(refusals, gap):
    line = waiting(*[f"{number}@one.example" for number in range(refusals + 2)])
    now = 100.0
    for _mail in range(refusals):
        leased = line.pop_ready(now)
        assert leased is not None
        line.record_reply(leased, refused_for_now=True)
        now += 2.0

    line.pop_ready(now)

    assert line.pop_ready(now + gap - 0.01) is None
    assert line.pop_ready(now + gap + 0.01) is not None


def test_sb7_one_mail_taken_makes_a_domain_quick_again():
    line = waiting(*[f"{number}@one.example" for number in range(6)])
    for refused in (True, True, True, False):
        leased = line.pop_ready(200.0 if refused else 300.0)
        assert leased is not None
        line.record_reply(leased, refused_for_now=refused)

    line.pop_ready(400.0)

    assert line.pop_ready(400.0) is not None


def test_sb7_what_is_put_back_is_next_and_counts_no_more():
    line = waiting("a@one.example", "b@one.example", at_once=1)
    first = line.pop_ready(100.0)
    assert first is not None

    line.put_back(first)

    assert (len(line), taken(line, 100.0), taken(line, 100.0)) == (2, "a@one.example", None)
