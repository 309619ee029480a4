"""Monotonic counters for metrics: counted in memory, added to the database every few seconds.

A request must not wait for the database to be counted. What a process has not flushed is lost when it
is killed.
"""

import threading
from collections import Counter
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy import BigInteger
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.db import Base, db, is_sqlite, table_of

_pending: Counter[str] = Counter()
_lock = threading.Lock()


class CounterTotal(Base):
    """The total of one counter since the database was created. Names hold no personal data."""

    __tablename__ = "tallies"

    name: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, default=0)


def increment(name: str, number: int = 1) -> None:
    """Increment a counter of this process."""
    with _lock:
        _pending[name] += number


def flush() -> None:
    """Add this process's counts to the stored totals. Commits; keeps the counts when that fails."""
    with _lock:
        taken = Counter(_pending)
        _pending.clear()
    if not taken:
        return
    try:
        for name, number in sorted(taken.items()):
            db.session.execute(_upsert(), {"name": name, "number": number})
        db.session.commit()
    except BaseException:
        with _lock:
            _pending.update(taken)
        raise


def read_totals() -> Mapping[str, int]:
    """Return the stored totals by name."""
    return dict(db.session.execute(sa.select(CounterTotal.name, CounterTotal.number)).all())


def _upsert() -> sqlite.Insert | postgresql.Insert:
    table = table_of(CounterTotal)
    insert = sqlite.insert(table) if is_sqlite() else postgresql.insert(table)
    return insert.on_conflict_do_update(
        index_elements=["name"], set_={"number": table.c.number + insert.excluded.number}
    )
