"""The only place that asks the time."""

from datetime import UTC, datetime


def utcnow() -> datetime:
    """Return this instant as an aware UTC datetime."""
    return datetime.now(UTC)
