"""Bulk inserts through the driver: without SQLAlchemy's processing of each value, in a fifth of the time."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from newsletter.db import db, is_sqlite

#: The length of an instant without its zone.
_TIMESTAMP_LENGTH = 26

Row = tuple[Any, ...]


def bulk_insert(table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert rows of plain values: numbers, texts, booleans and ``moment`` of an instant.

    The names are ours, never anybody's input.
    """
    if not rows:
        return
    driver = _driver_connection()
    names = ", ".join(columns)
    if is_sqlite():
        marks = ", ".join("?" * len(columns))
        driver.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows).close()  # noqa: S608
        return
    with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def reserve_ids(table: str, number: int) -> Iterable[int]:
    """Return ``number`` ids that no other row of the table has or will have."""
    if is_sqlite():  # one writer at a time, and it is us
        # Not below where a walk has got to: with all rows deleted, it would never see the new ones.
        last = db.session.scalar(
            sa.text(
                f"SELECT max(coalesce((SELECT max(id) FROM {table}), 0),"  # noqa: S608
                " coalesce((SELECT max(last_id) FROM walks), 0))"
            )
        )
        return range((last or 0) + 1, (last or 0) + 1 + number)
    series = sa.text(f"SELECT nextval('{table}_id_seq') FROM generate_series(1, :number)")  # noqa: S608
    return list(db.session.scalars(series, {"number": number}))


def timestamp_writer() -> "TimestampWriter":
    """Return a writer of instants for the engine in use."""
    return TimestampWriter(as_text=is_sqlite())


class TimestampWriter:
    """Writes instants as ``insert`` takes them."""

    def __init__(self, *, as_text: bool) -> None:
        self._as_text = as_text

    def __call__(self, moment: datetime) -> str | datetime:
        """Return an aware instant as the engine stores it."""
        if not self._as_text:
            return moment
        # As SQLAlchemy writes it on SQLite, which has no type for it; strftime takes five times as long.
        return moment.astimezone(UTC).isoformat(" ", "microseconds")[:_TIMESTAMP_LENGTH]


def _driver_connection() -> Any:  # noqa: ANN401 - each engine's own
    return db.session.connection().connection.driver_connection
