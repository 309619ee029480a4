"""Crowds: telling, for each of millions of rows, whether it is one of many people's.

A purge looks for its people in every raw record there is. To find a number in a table, or in a table of
hashes made anew for each piece of the walk, costs several times what it costs to look it up in a string
with a place for each number: a byte on SQLite, which knows no bits, and a bit on PostgreSQL.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from newsletter.db import db, is_sqlite, reading
from newsletter.db.batching import People, Span

#: Beyond this number the string would cost more memory than it saves time.
LARGEST = 16_000_000
_IN = b"\x01"
_Column = sa.orm.InstrumentedAttribute[int] | sa.orm.InstrumentedAttribute[int | None]


def theirs(column: _Column, people: People) -> sa.ColumnElement[bool]:
    """Hold a column of numbers of people to these, where an index finds them."""
    if isinstance(people, Span):
        # With the span said of the column too, PostgreSQL walks that part of an index: it cannot know
        # how few people it holds, and would read the whole table.
        return sa.and_(column.between(people.low, people.high), column.in_(people.numbers()))
    return column.in_(people)


def marked(column: _Column, people: People) -> sa.ColumnElement[bool]:
    """Hold a column to these people, as they are now, for a walk: build it once, use it often.

    Ends the transaction under way, so that nobody waits while many numbers are read.
    """
    if not isinstance(people, sa.Select):
        return theirs(column, people)
    with reading():
        numbers = db.session.scalars(people).all()
        db.session.rollback()
    if not numbers or max(numbers) > LARGEST:
        return theirs(column, people)
    if is_sqlite():
        return sa.func.substr(_bytes(numbers), column + 1, 1) == _IN
    found = sa.func.get_bit(_bits(numbers), column)
    return sa.case((column <= max(numbers), found), else_=0) == 1  # there is no bit beyond the last


def _bytes(numbers: Sequence[int]) -> bytes:
    marks = bytearray(max(numbers) + 1)
    for number in numbers:
        marks[number] = 1
    return bytes(marks)


def _bits(numbers: Sequence[int]) -> bytes:
    marks = bytearray(max(numbers) // 8 + 1)
    for number in numbers:
        marks[number >> 3] |= 1 << (number & 7)  # where PostgreSQL looks for it
    return bytes(marks)
