"""Times in the business time zone, with both changes of the clock."""

from datetime import UTC, datetime

import pytest

from newsletter.sending.lifecycle.local_time import TimeSkipped, TimeTwice, TimeUnreadable, parse_local_time

pytestmark = pytest.mark.parametrize("engine", ["sqlite"])


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-01-15 09:00", datetime(2027, 1, 15, 7, tzinfo=UTC)),
        ("2027-07-15T09:00", datetime(2027, 7, 15, 6, tzinfo=UTC)),
        ("2027-07-15T09:00:00+02:00", datetime(2027, 7, 15, 7, tzinfo=UTC)),
        ("2027-07-15T09:00Z", datetime(2027, 7, 15, 9, tzinfo=UTC)),
        # As Finns write it: never 18:00.
        ("2027-01-15 18.45", datetime(2027, 1, 15, 16, 45, tzinfo=UTC)),
        ("2027-01-15T18.45", datetime(2027, 1, 15, 16, 45, tzinfo=UTC)),
        ("15.1.2027 klo 18.45", datetime(2027, 1, 15, 16, 45, tzinfo=UTC)),
        (" 15.01.2027  8.05 ", datetime(2027, 1, 15, 6, 5, tzinfo=UTC)),
        ("2027-01-15 at 18:45", datetime(2027, 1, 15, 16, 45, tzinfo=UTC)),
        ("2027-01-15 18.45.30", datetime(2027, 1, 15, 16, 45, 30, tzinfo=UTC)),
        ("2027-01-15T18:45:30.25+0530", datetime(2027, 1, 15, 13, 15, 30, 250_000, tzinfo=UTC)),
        ("2027-01-15 18:45 -03", datetime(2027, 1, 15, 21, 45, tzinfo=UTC)),
        # The last and the first minute beside each change.
        ("2027-03-28T02:59", datetime(2027, 3, 28, 0, 59, tzinfo=UTC)),
        ("2027-03-28T04:00", datetime(2027, 3, 28, 1, 0, tzinfo=UTC)),
        ("2027-10-31T02:59", datetime(2027, 10, 30, 23, 59, tzinfo=UTC)),
        ("2027-10-31T04:00", datetime(2027, 10, 31, 2, 0, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_the_business_time_zone(app, text, moment):
    assert parse_local_time(text) == moment


@pytest.mark.parametrize("time", ["03:00", "03:30", "03:59"])
def test_a_time_that_the_clock_skips_is_refused_and_says_so(app, time):
    with pytest.raises(TimeSkipped) as refused:
        parse_local_time(f"2027-03-28T{time}")

    assert str(refused.value) == (
        f"There is no {time} on 2027-03-28: the clock goes from 03:00 straight to 04:00."
    )


@pytest.mark.parametrize("time", ["03:00", "03:30", "03:59"])
def test_a_time_that_comes_twice_is_refused_until_one_is_chosen(app, time):
    with pytest.raises(TimeTwice) as refused:
        parse_local_time(f"2027-10-31T{time}")

    assert str(refused.value) == (
        f"{time} comes twice on 2027-10-31, when the clock goes back. Choose: {time}+03:00 or {time}+02:00."
    )
    minute = int(time[-2:])
    assert parse_local_time(f"2027-10-31T{time}", fold=0) == datetime(2027, 10, 31, 0, minute, tzinfo=UTC)
    assert parse_local_time(f"2027-10-31T{time}", fold=1) == datetime(2027, 10, 31, 1, minute, tzinfo=UTC)
    assert parse_local_time(f"2027-10-31T{time}+02:00") == datetime(2027, 10, 31, 1, minute, tzinfo=UTC)


def test_the_skip_of_another_zone_is_its_own(app, make_app):
    with make_app(timezone="Atlantic/Azores").app_context(), pytest.raises(TimeSkipped) as refused:
        parse_local_time("2027-03-28T00:30")

    assert refused.value.values["before"] == "00:00"
    assert refused.value.values["after"] == "01:00"


@pytest.mark.parametrize(
    "text",
    [
        "", "T", "huomenna", "2027-13-01T09:00", "2027-01-15", "2027-01-15T25:00", "T09:00", "2027-01-15 18",
        "2027-01-15 18.4", "2027-01-15 18,45", "2027-01-15 18.45:30", "2027-01-15 18.60", "20270115T1845",
        "2027-02-29 09:00", "9999-12-31 23:59-12:00", "2027-01-15 18:45+99:00", "2027-01-15 18:45 EET",
        "2027-W03-5T18:45", "\uff1227-01-15 18:45", "31.2.2027 9.00",
    ],
)  # fmt: skip
def test_what_is_no_day_and_time_is_refused(app, text):
    with pytest.raises(TimeUnreadable):
        parse_local_time(text)
