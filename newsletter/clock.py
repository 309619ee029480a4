"""The current time; nothing else calls ``datetime.now``, so tests can replace it."""

from datetime import UTC, datetime


def utcnow() -> datetime:
    """Return this instant as an aware UTC datetime."""
    return datetime.now(UTC)
