"""Legal deadlines (GDPR art. 12(3) and 33) and the dates of the January purge.

Dates and months are those of the business time zone; instants are aware UTC.
"""

import calendar
from datetime import UTC, date, datetime, timedelta

from newsletter.config import current_settings

JANUARY = 1
#: A breach must be reported within this time after it was noticed (GDPR art. 33).
BREACH_REPORT_PERIOD = timedelta(hours=72)
#: A request is to be answered within this many days, or one calendar month where that is less.
RESPONSE_DAYS = 30
#: What one extension adds (GDPR art. 12(3)).
EXTENSION_MONTHS = 2
#: Days before its due date from which an open request is in the reminders.
REMINDER_DAYS = 7


def local_day(now: datetime) -> date:
    """Return the day of an instant in the business time zone."""
    return now.astimezone(current_settings().timezone).date()


def add_months(day: date, months: int) -> date:
    """Return the same day some months later, or that month's last: 31 January -> 28 or 29 February."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def response_due_on(received_at: datetime) -> date:
    """Return the last day to answer: 30 days or one calendar month, whichever is earlier (RD-2)."""
    day = local_day(received_at)
    return min(day + timedelta(days=RESPONSE_DAYS), add_months(day, 1))


def extended_response_due_on(received_at: datetime) -> date:
    """Return the due date after the one extension, counted from receipt."""
    return add_months(response_due_on(received_at), EXTENSION_MONTHS)


def is_january(now: datetime) -> bool:
    """Tell whether it is January in the business time zone."""
    return now.astimezone(current_settings().timezone).month == JANUARY


def is_purge_due(now: datetime) -> bool:
    """Tell whether this January's purge may begin."""
    local = now.astimezone(current_settings().timezone)
    return local.month == JANUARY and (local.day, local.hour, local.minute) >= current_settings().purge_at


def is_last_purge_day(now: datetime) -> bool:
    """Tell whether it is 31 January, after which the purge is late."""
    day = local_day(now)
    return (day.month, day.day) == (JANUARY, 31)


def start_of_year(now: datetime) -> datetime:
    """Return the first instant of the year."""
    zone = current_settings().timezone
    return datetime(now.astimezone(zone).year, 1, 1, tzinfo=zone).astimezone(UTC)


def end_of_year_after(now: datetime, years: int) -> datetime:
    """Return the first instant after the end of the year ``years`` from now."""
    zone = current_settings().timezone
    return datetime(now.astimezone(zone).year + years + 1, 1, 1, tzinfo=zone).astimezone(UTC)


def months_before(now: datetime, months: int) -> datetime:
    """Return the instant ``months`` calendar months ago."""
    local = now.astimezone(current_settings().timezone)
    return datetime.combine(add_months(local.date(), -months), local.time(), local.tzinfo).astimezone(UTC)
