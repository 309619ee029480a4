"""Batches of long jobs: sized by measured time, so that other writers get the lock in between."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from newsletter.db import is_sqlite


@dataclass(frozen=True, slots=True)
class IdRange:
    """The part of a query for subscriber ids between ``low`` and ``high``, both included."""

    query: sa.Select[Any]
    low: int
    high: int

    def ids(self) -> sa.Select[Any]:
        """Return the query for the ids in the range."""
        (number,) = self.query.selected_columns
        return self.query.where(number.between(self.low, self.high))


#: Ids of subscribers: a list, a query for them where they are many, or a range of such a query.
People = Sequence[int] | sa.Select[Any] | IdRange
#: Called with the amount done and the total.
ProgressCallback = Callable[[int, int], None]

#: A transaction of a long job aims at this many seconds: SQLite has one writer at a time, and in
#: PostgreSQL only whoever wants the same rows waits.
TARGET_SECONDS = 0.04
TARGET_SECONDS_ROW_LOCKS = 0.07
#: The share of a transaction's time for which the job then sleeps, so that others get the lock.
PAUSE_SHARE = 0.1
MAX_PAUSE_SECONDS = 0.003
#: A batch never shrinks below the first size divided by this: each transaction has a fixed cost.
_MIN_SIZE_DIVISOR = 5


class BatchSizer:
    """A batch size that adapts to how long the last transaction took."""

    def __init__(self, size: int, most: int = 200_000) -> None:
        self.size = size
        self._least = max(1, size // _MIN_SIZE_DIVISOR)
        self._most = most

    @contextmanager
    def batch(self) -> Iterator[int]:
        """Yield how many rows to take in this transaction, which the block commits."""
        began = time.monotonic()
        yield self.size
        took = time.monotonic() - began
        goal = TARGET_SECONDS_ROW_LOCKS
        if is_sqlite():
            goal = TARGET_SECONDS
            # Whoever waits for the write lock looks every half millisecond, and has to find it free.
            time.sleep(min(took * PAUSE_SHARE, MAX_PAUSE_SECONDS))
        if took > goal:
            self.size = max(self._least, int(self.size * goal / took))
        elif took < goal / 2:
            self.size = min(self._most, self.size * 3 // 2)


def ignore_progress(_done: int, _total: int) -> None:
    """Ignore the progress of a job: the default callback."""
