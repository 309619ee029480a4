"""Parses local times in the business time zone, across both changes of daylight saving time.

A nonexistent time (the clock skips it) is refused. An ambiguous time (the clock shows it twice) is refused
until it is disambiguated, by its UTC offset or with ``fold`` (PEP 495).
"""

from datetime import UTC, datetime, timedelta

from newsletter.config import current_settings
from newsletter.errors import N_, NewsletterError
from newsletter.moments import read_clock_time

_MINUTE = timedelta(minutes=1)


class TimeUnreadable(NewsletterError):
    """Not a day and a time."""

    message = N_("Give a day and a time, such as 2027-01-15 09:00.")


class TimeSkipped(NewsletterError):
    """The clock jumps over it."""

    message = N_("There is no %(time)s on %(day)s: the clock goes from %(before)s straight to %(after)s.")


class TimeTwice(NewsletterError):
    """The clock shows it twice."""

    message = N_(
        "%(time)s comes twice on %(day)s, when the clock goes back. Choose: %(first)s or %(second)s."
    )

    def __init__(self, local: datetime) -> None:
        self.moments = [local.replace(fold=fold) for fold in (0, 1)]
        first, second = map(_with_offset, self.moments)
        super().__init__(time=f"{local:%H:%M}", day=_day(local), first=first, second=second)


def parse_local_time(text: str, *, fold: int | None = None) -> datetime:
    """Return the instant that a day and a time in the business time zone mean; aware UTC.

    ``fold`` says which of two is meant: 0 the first, 1 the second. A text with an offset
    (``2027-10-31T03:30+02:00``) is clear by itself. Raises TimeUnreadable, TimeSkipped or TimeTwice.
    """
    try:
        given = read_clock_time(text)
        if given.tzinfo is not None:
            return given.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise TimeUnreadable from error
    local = given.replace(tzinfo=current_settings().timezone)
    first, second = (local.replace(fold=which).utcoffset() or timedelta() for which in (0, 1))
    if first < second:
        raise _time_skipped(local, second - first)
    if first > second:
        if fold is None:
            raise TimeTwice(local)
        local = local.replace(fold=fold)
    return local.astimezone(UTC)


def _time_skipped(local: datetime, gap: timedelta) -> TimeSkipped:
    """Say between which two times the clock jumps: the last before the gap, and the first after it."""
    offset_before = local.replace(fold=0).utcoffset()
    # Read with the old offset the time lies after the jump, so the jump is at most a gap before it.
    after = local.replace(fold=0).astimezone(UTC)
    while (after - _MINUTE).astimezone(local.tzinfo).utcoffset() != offset_before:
        after -= _MINUTE
    shown = after.astimezone(local.tzinfo)
    before = shown.replace(tzinfo=None) - gap
    return TimeSkipped(
        time=f"{local:%H:%M}", day=_day(local), before=f"{before:%H:%M}", after=f"{shown:%H:%M}"
    )


def _with_offset(moment: datetime) -> str:
    text = moment.strftime("%H:%M%z")
    return f"{text[:-2]}:{text[-2:]}"


def _day(local: datetime) -> str:
    return f"{local:%Y-%m-%d}"
