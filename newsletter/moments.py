"""A day and a time as people and files write them: ISO 8601, or the Finnish way.

The one reader of them. The library's own takes "18.45" for 18 hours and a fraction it then forgets.
"""

import re
from datetime import UTC, datetime, timedelta, timezone

_MOMENT = re.compile(
    r"(?:(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})|(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4}))"
    r"(?:[Tt]|\s+(?:klo\s+)?|\s+at\s+)"
    r"(?P<hour>\d{1,2})(?P<mark>[.:])(?P<minute>\d{2})(?:(?P=mark)(?P<second>\d{2})(?:[.,](?P<part>\d{1,6})\d*)?)?"
    r"\s*(?P<offset>[Zz]|[+-]\d{2}(?::?\d{2})?)?",
    re.ASCII,
)


def read_clock_time(text: str) -> datetime:
    """Return the day and time that a text says, aware only where it names an offset.

    2027-01-15 18:45, 2027-01-15T18.45, 15.1.2027 klo 18.45, 2027-01-15T18:45:00+02:00. Raises ValueError
    for anything else: a part that was not understood would make another time of it.
    """
    found = _MOMENT.fullmatch(text.strip())
    if found is None:
        raise ValueError("not a day and a time")
    year, month, day = (
        int(found[long] or found[short]) for long, short in (("year", "y"), ("month", "m"), ("day", "d"))
    )
    part = int((found["part"] or "").ljust(6, "0"))
    return datetime(
        year,
        month,
        day,
        int(found["hour"]),
        int(found["minute"]),
        int(found["second"] or 0),
        part,
        tzinfo=_zone(found["offset"]),
    )


def _zone(offset: str | None) -> timezone | None:
    if not offset:
        return None
    if offset in "Zz":
        return UTC
    digits = offset[1:].replace(":", "").ljust(4, "0")
    away = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-away if offset[0] == "-" else away)
