"""Turns at SQLite's write lock, among the threads of one process."""

import os
import sqlite3
import threading
import time
from collections import defaultdict
from typing import Any

#: Takes the write lock at once, so that a transaction that reads first and writes later cannot be
#: refused half-way.
BEGIN_WRITING = "BEGIN IMMEDIATE"
#: How long a writer waits for its turn, in seconds.
PATIENCE = 15.0
#: How long SQLite itself waits where no turn is taken.
BUSY_TIMEOUT = "PRAGMA busy_timeout=15000"


class TurnTaking(sqlite3.Connection):
    """A connection that queues for SQLite's write lock.

    SQLite's own way is to sleep and try again, ever longer: with many writers most of the time is
    slept away. Here the writers of one process take turns, and only the first of them asks SQLite,
    every half millisecond.
    """

    def __init__(self, database: str, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - sqlite3's own
        super().__init__(database, *args, **kwargs)
        self._turn = _turns[database]
        self._has_turn = False

    def begin_writing(self) -> None:
        """Begin a transaction that may write; raise OperationalError after PATIENCE seconds."""
        deadline = time.monotonic() + PATIENCE
        if not self._turn.acquire(timeout=PATIENCE):
            raise sqlite3.OperationalError("database is locked")
        self._has_turn = True
        try:
            self._ask_until(deadline)
        except BaseException:
            self._end_turn()
            raise

    def commit(self) -> None:
        """Commit, and let the next one write."""
        try:
            super().commit()
        finally:
            if not self.in_transaction:  # else, the disk being full, the rollback comes
                self._end_turn()

    def rollback(self) -> None:
        """Undo, and let the next one write."""
        try:
            super().rollback()
        finally:
            self._end_turn()

    def close(self) -> None:
        """Close, and let the next one write."""
        try:
            super().close()
        finally:
            self._end_turn()

    def _ask_until(self, deadline: float) -> None:
        self.execute("PRAGMA busy_timeout=0").close()
        try:
            while True:
                try:
                    self.execute(BEGIN_WRITING).close()
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                        raise
                    time.sleep(0.0005)
                else:
                    return
        finally:
            self.execute(BUSY_TIMEOUT).close()

    def _end_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._turn.release()


#: Whose turn it is in this process, for each file.
_turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
# Whoever had a turn before a fork has it in another process.
os.register_at_fork(after_in_child=_turns.clear)
