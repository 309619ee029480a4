"""The moment at which every test takes place."""

from datetime import UTC, datetime

#: A Tuesday; 11.30 in Helsinki. In the past, so that a real process finds our rows due.
NOW = datetime(2026, 3, 3, 9, 30, tzinfo=UTC)
