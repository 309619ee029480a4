"""Strides: how much of a long job goes into one transaction, so that others get to write in between."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from newsletter.db import is_sqlite


@dataclass(frozen=True, slots=True)
class Span:
    """Of many people, those whose numbers lie between two, both included."""

    everybody: sa.Select[Any]
    low: int
    high: int

    def numbers(self) -> sa.Select[Any]:
        """Return the query for their numbers."""
        (number,) = self.everybody.selected_columns
        return self.everybody.where(number.between(self.low, self.high))


#: Numbers of people, or a query for them where they are many, or a part of such a query.
People = Sequence[int] | sa.Select[Any] | Span
#: Hears how much of how much is done.
Tell = Callable[[int, int], None]

#: A transaction of a long job aims at this many seconds: SQLite has one writer at a time, and in
#: PostgreSQL only whoever wants the same rows waits.
GOAL = 0.04
GOAL_FOR_ROWS = 0.07
#: The part of that time for which the lock is then left to others.
PAUSE = 0.1
LONGEST_PAUSE = 0.003
#: It never takes less than one part in so many of what it began with: each step has a cost of its own.
_SMALLEST = 5


class Stride:
    """A number of rows that grows and shrinks with how long the last ones took."""

    def __init__(self, size: int, most: int = 200_000) -> None:
        self.size = size
        self._least = max(1, size // _SMALLEST)
        self._most = most

    @contextmanager
    def step(self) -> Iterator[int]:
        """Yield how many rows to take in this transaction, which the block commits."""
        began = time.monotonic()
        yield self.size
        took = time.monotonic() - began
        goal = GOAL_FOR_ROWS
        if is_sqlite():
            goal = GOAL
            # Whoever waits for the write lock looks every half millisecond, and has to find it free.
            time.sleep(min(took * PAUSE, LONGEST_PAUSE))
        if took > goal:
            self.size = max(self._least, int(self.size * goal / took))
        elif took < goal / 2:
            self.size = min(self._most, self.size * 3 // 2)


def say_nothing(_done: int, _total: int) -> None:
    """Tell nobody how far a job is."""
