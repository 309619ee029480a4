"""January, due dates, leap years and both changes of the clock."""

from datetime import UTC, date, datetime, timedelta

import pytest

from newsletter.privacy.deadlines import (
    add_months,
    end_of_year_after,
    extended_response_due_on,
    is_last_purge_day,
    is_purge_due,
    months_before,
    response_due_on,
    start_of_year,
)


@pytest.mark.parametrize(
    ("received", "due"),
    [
        (datetime(2027, 1, 31, 10, tzinfo=UTC), date(2027, 2, 28)),
        (datetime(2028, 1, 31, 10, tzinfo=UTC), date(2028, 2, 29)),
        (datetime(2027, 1, 28, 10, tzinfo=UTC), date(2027, 2, 27)),  # 30 days are less than a month
        (datetime(2027, 4, 30, 10, tzinfo=UTC), date(2027, 5, 30)),
        (datetime(2027, 12, 15, 10, tzinfo=UTC), date(2028, 1, 14)),
        (datetime(2027, 3, 1, 22, 30, tzinfo=UTC), date(2027, 4, 1)),  # 2 March in Helsinki
        (datetime(2027, 3, 28, 0, 30, tzinfo=UTC), date(2027, 4, 27)),  # the night of summer time
        (datetime(2027, 10, 31, 0, 30, tzinfo=UTC), date(2027, 11, 30)),  # and of winter time
    ],
)
def test_rd2_the_answer_is_due_within_30_days_and_a_month(app, received, due):
    assert response_due_on(received) == due


def test_rd2_an_extension_adds_two_months(app):
    assert extended_response_due_on(datetime(2026, 12, 1, 10, tzinfo=UTC)) == date(2027, 2, 28)


def test_the_29th_of_february_has_a_day_in_other_years():
    assert [add_months(date(2028, 2, 29), months) for months in (12, 48, -12)] == [
        date(2029, 2, 28),
        date(2032, 2, 29),
        date(2027, 2, 28),
    ]


@pytest.mark.parametrize(
    ("moment", "is_due"),
    [
        (datetime(2027, 1, 15, 0, 59, 59, tzinfo=UTC), False),
        (datetime(2027, 1, 15, 1, 0, tzinfo=UTC), True),
        (datetime(2027, 1, 31, 21, 59, tzinfo=UTC), True),
        (datetime(2027, 1, 31, 22, 0, tzinfo=UTC), False),
        (datetime(2027, 2, 15, 1, 0, tzinfo=UTC), False),
    ],
)
def test_rp1_the_run_is_due_from_its_time_to_the_end_of_january(app, moment, is_due):
    assert is_purge_due(moment) is is_due


def test_rp1_another_day_may_be_chosen(make_app):
    app = make_app(purge_at="2 04:30")

    with app.app_context():
        found = [is_purge_due(datetime(2027, 1, 2, 2, minute, tzinfo=UTC)) for minute in (29, 30)]

    assert found == [False, True]


def test_the_last_day_is_that_of_the_business(app):
    moments = (datetime(2027, 1, 30, 22, tzinfo=UTC), datetime(2027, 1, 31, 22, tzinfo=UTC))

    assert [is_last_purge_day(moment) for moment in moments] == [True, False]


def test_years_begin_and_end_in_the_business_time_zone(app):
    moment = datetime(2026, 12, 31, 22, 30, tzinfo=UTC)

    assert start_of_year(moment) == datetime(2026, 12, 31, 22, tzinfo=UTC)
    assert end_of_year_after(moment, 3) == datetime(2030, 12, 31, 22, tzinfo=UTC)


def test_months_are_counted_across_the_change_of_the_clock(app):
    assert months_before(datetime(2027, 4, 10, 9, tzinfo=UTC), 1) == datetime(2027, 3, 10, 10, tzinfo=UTC)
    assert (
        months_before(datetime(2027, 11, 10, 10, tzinfo=UTC), 1) - datetime(2027, 10, 10, 9, tzinfo=UTC)
        == timedelta()
    )
