"""The clocks of data protection: January, due dates, and what has a daily clock of its own.

Days and months are those of the business time zone; instants are UTC.
"""

import calendar
from datetime import UTC, date, datetime, timedelta

from newsletter.config import settings

JANUARY = 1
#: A breach is to be reported within this time of its being noticed (GDPR art. 33).
BREACH_HOURS = timedelta(hours=72)
#: A request is to be answered within this many days, or one calendar month where that is less.
ANSWER_DAYS = 30
#: What one extension adds (GDPR art. 12(3)).
EXTENSION_MONTHS = 2
#: How long before its day an unanswered request is pointed out.
WARN_DAYS = 7


def local_day(now: datetime) -> date:
    """Return the day of an instant in the business time zone."""
    return now.astimezone(settings().timezone).date()


def add_months(day: date, months: int) -> date:
    """Return the same day some months later, or that month's last: 31 January -> 28 or 29 February."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def due_on(received_at: datetime) -> date:
    """Return the last day to answer: 30 days or one calendar month, whichever is earlier (RD-2)."""
    day = local_day(received_at)
    return min(day + timedelta(days=ANSWER_DAYS), add_months(day, 1))


def extended_due_on(received_at: datetime) -> date:
    """Return the last day to answer after the one extension, counted from the first day."""
    return add_months(due_on(received_at), EXTENSION_MONTHS)


def is_january(now: datetime) -> bool:
    """Tell whether it is January in the business time zone."""
    return now.astimezone(settings().timezone).month == JANUARY


def is_due_time(now: datetime) -> bool:
    """Tell whether this January's purge may begin."""
    local = now.astimezone(settings().timezone)
    return local.month == JANUARY and (local.day, local.hour, local.minute) >= settings().purge_at


def is_last_day(now: datetime) -> bool:
    """Tell whether it is 31 January, after which the purge is late."""
    day = local_day(now)
    return (day.month, day.day) == (JANUARY, 31)


def start_of_year(now: datetime) -> datetime:
    """Return the first instant of the year."""
    zone = settings().timezone
    return datetime(now.astimezone(zone).year, 1, 1, tzinfo=zone).astimezone(UTC)


def end_of_year_after(now: datetime, years: int) -> datetime:
    """Return the first instant after the so manieth year from now."""
    zone = settings().timezone
    return datetime(now.astimezone(zone).year + years + 1, 1, 1, tzinfo=zone).astimezone(UTC)


def months_before(now: datetime, months: int) -> datetime:
    """Return the instant so many months ago, by the calendar."""
    local = now.astimezone(settings().timezone)
    return datetime.combine(add_months(local.date(), -months), local.time(), local.tzinfo).astimezone(UTC)
