"""Strides: how much of a long job goes into one transaction, so that others get to write in between."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

#: Numbers of people, or a query for them where they are many.
People = Sequence[int] | sa.Select[Any]
#: Hears how much of how much is done.
Tell = Callable[[int, int], None]

#: A transaction of a long job aims at this many seconds: SQLite has one writer at a time.
GOAL = 0.03
_LEAST = 50


class Stride:
    """A number of rows that grows and shrinks with how long the last ones took."""

    def __init__(self, size: int, most: int = 200_000) -> None:
        self.size = size
        self._most = most

    @contextmanager
    def step(self) -> Iterator[int]:
        """Yield how many rows to take in this transaction, which the block commits."""
        began = time.monotonic()
        yield self.size
        took = time.monotonic() - began
        if took > GOAL:
            self.size = max(_LEAST, int(self.size * GOAL / took))
        elif took < GOAL / 2:
            self.size = min(self._most, self.size * 3 // 2)


def say_nothing(_done: int, _total: int) -> None:
    """Tell nobody how far a job is."""
