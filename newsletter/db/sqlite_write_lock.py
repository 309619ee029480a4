"""A fair queue for SQLite's write lock among the threads of one process."""

import os
import sqlite3
import threading
import time
from collections import defaultdict
from typing import Any

#: Takes the write lock at once, so that a transaction that reads first and writes later cannot be
#: refused half-way.
BEGIN_IMMEDIATE = "BEGIN IMMEDIATE"
#: How long a writer waits for the lock, in seconds.
LOCK_TIMEOUT = 15.0
#: How long SQLite itself waits (milliseconds) for connections that do not queue.
BUSY_TIMEOUT = "PRAGMA busy_timeout=15000"


class WriteLockConnection(sqlite3.Connection):
    """A sqlite3 connection whose writers queue on a lock of this process first.

    SQLite's busy handler sleeps with growing delays: with many writers most of the time is spent
    sleeping. Here only the head of the queue retries BEGIN IMMEDIATE, every half millisecond.
    """

    def __init__(self, database: str, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - sqlite3's own
        super().__init__(database, *args, **kwargs)
        self._lock = _locks[database]
        self._holds_lock = False

    def begin_immediate(self) -> None:
        """Run BEGIN IMMEDIATE; raise OperationalError after LOCK_TIMEOUT seconds."""
        deadline = time.monotonic() + LOCK_TIMEOUT
        if not self._lock.acquire(timeout=LOCK_TIMEOUT):
            raise sqlite3.OperationalError("database is locked")
        self._holds_lock = True
        try:
            self._begin_until(deadline)
        except BaseException:
            self._release_lock()
            raise

    def commit(self) -> None:
        """Commit and release the lock."""
        try:
            super().commit()
        finally:
            if not self.in_transaction:  # else, the disk being full, the rollback comes
                self._release_lock()

    def rollback(self) -> None:
        """Roll back and release the lock."""
        try:
            super().rollback()
        finally:
            self._release_lock()

    def close(self) -> None:
        """Close and release the lock."""
        try:
            super().close()
        finally:
            self._release_lock()

    def _begin_until(self, deadline: float) -> None:
        self.execute("PRAGMA busy_timeout=0").close()
        try:
            while True:
                try:
                    self.execute(BEGIN_IMMEDIATE).close()
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                        raise
                    time.sleep(0.0005)
                else:
                    return
        finally:
            self.execute(BUSY_TIMEOUT).close()

    def _release_lock(self) -> None:
        if self._holds_lock:
            self._holds_lock = False
            self._lock.release()


#: The lock of each database file, among the threads of this process.
_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
# A lock held before a fork belongs to the parent process.
os.register_at_fork(after_in_child=_locks.clear)
