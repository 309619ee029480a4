"""Counts that only grow, for whoever watches the machines: what was refused, and what went out.

A request must not wait for the database to be counted, so each process counts in memory and stores
every few seconds: what it had counted since then is lost when it is killed.
"""

import threading
from collections import Counter
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy import BigInteger
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.db import Base, db, is_sqlite, table_of

_waiting: Counter[str] = Counter()
_lock = threading.Lock()


class Tally(Base):
    """How often something has happened since the database was made. No name tells of a person."""

    __tablename__ = "tallies"

    name: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, default=0)


def count(name: str, number: int = 1) -> None:
    """Count something that happened in this process."""
    with _lock:
        _waiting[name] += number


def store() -> None:
    """Add what this process has counted to what all have. Commits; what cannot be stored is kept."""
    with _lock:
        taken = Counter(_waiting)
        _waiting.clear()
    if not taken:
        return
    try:
        for name, number in sorted(taken.items()):
            db.session.execute(_add(), {"name": name, "number": number})
        db.session.commit()
    except BaseException:
        with _lock:
            _waiting.update(taken)
        raise


def stored() -> Mapping[str, int]:
    """Return what has been stored, by name."""
    return dict(db.session.execute(sa.select(Tally.name, Tally.number)).all())


def _add() -> sqlite.Insert | postgresql.Insert:
    table = table_of(Tally)
    insert = sqlite.insert(table) if is_sqlite() else postgresql.insert(table)
    return insert.on_conflict_do_update(
        index_elements=["name"], set_={"number": table.c.number + insert.excluded.number}
    )
