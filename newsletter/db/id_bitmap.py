"""Conditions "this row belongs to one of these people", by index or by a bitmap of their ids.

A purge tests millions of raw records against many people. A join, or a hash table built anew for each
batch, costs several times a look-up in a string with one place for each id: a byte on SQLite, which has
no bit functions, and a bit on PostgreSQL.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from newsletter.db import db, is_sqlite, read_transactions
from newsletter.db.batching import IdRange, People

#: Beyond this id the bitmap would cost more memory than it saves time.
MAX_BITMAP_ID = 16_000_000
_SET_BYTE = b"\x01"
_Column = sa.orm.InstrumentedAttribute[int] | sa.orm.InstrumentedAttribute[int | None]


def in_people(column: _Column, people: People) -> sa.ColumnElement[bool]:
    """Return the condition that a column of subscriber ids is one of these, by an index."""
    if isinstance(people, IdRange):
        # With the range repeated on the column PostgreSQL scans that part of an index: it cannot know
        # how few people it holds, and would read the whole table.
        return sa.and_(column.between(people.low, people.high), column.in_(people.ids()))
    return column.in_(people)


def in_bitmap(column: _Column, people: People) -> sa.ColumnElement[bool]:
    """Return the same condition for full scans, with the ids as they are now: build once, use often.

    Rolls back the current transaction, so that no lock is held while many ids are read.
    """
    if not isinstance(people, sa.Select):
        return in_people(column, people)
    with read_transactions():
        numbers = db.session.scalars(people).all()
        db.session.rollback()
    if not numbers or max(numbers) > MAX_BITMAP_ID:
        return in_people(column, people)
    if is_sqlite():
        return sa.func.substr(_byte_map(numbers), column + 1, 1) == _SET_BYTE
    found = sa.func.get_bit(_bit_map(numbers), column)
    return sa.case((column <= max(numbers), found), else_=0) == 1  # there is no bit beyond the last


def _byte_map(numbers: Sequence[int]) -> bytes:
    marks = bytearray(max(numbers) + 1)
    for number in numbers:
        marks[number] = 1
    return bytes(marks)


def _bit_map(numbers: Sequence[int]) -> bytes:
    marks = bytearray(max(numbers) // 8 + 1)
    for number in numbers:
        marks[number >> 3] |= 1 << (number & 7)  # where PostgreSQL looks for it
    return bytes(marks)
