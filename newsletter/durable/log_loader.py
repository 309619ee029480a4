"""Loads append-only log files into the database, each line exactly once.

Each process appends lines to a file of its own and holds a lock (flock) on it; an unlocked file is
finished and will not grow. A loader stores whole lines and the offset it reached in one transaction,
so a killed loader neither loses nor doubles a line. Loaded lines are overwritten at once: the files
hold only what is not in the database yet.
"""

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.db import Base, db, read_transactions

_APPEND_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND


class SpoolOffset(Base):
    """How far a log file has been loaded, in bytes; written in the transaction that stored its lines."""

    __tablename__ = "spool_offsets"

    file: Mapped[str] = mapped_column(primary_key=True)
    offset: Mapped[int]


def create_log_file(folder: Path, suffix: str) -> int:
    """Create a log file and return its locked descriptor; the name begins with the time in nanoseconds."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{time.time_ns():020}-{secrets.token_hex(4)}{suffix}"
    hidden = folder / f".{name}"
    file = os.open(hidden, _APPEND_FLAGS, 0o600)
    # Locked before the loader can see it: an unlocked file is finished, and an empty one goes.
    fcntl.flock(file, fcntl.LOCK_EX)
    hidden.rename(folder / name)
    return file


@contextlib.contextmanager
def loader_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder's loader, among the processes of this machine; waits for it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "loader.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_finished(descriptor: int) -> bool:
    """Tell whether the writer of a log file has released its lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def load(
    folder: Path,
    suffix: str,
    *,
    step: int,
    store: Callable[[bytes], int],
    rest: Callable[[], None] = lambda: None,
) -> int:
    """Load all files of a folder as they are now; return the sum of what ``store`` returned. Commits.

    ``store`` gets whole lines and changes rows in a transaction that is committed here. ``step`` is the
    most bytes read in one transaction, which bounds the memory after an outage of the database. ``rest``
    is called after each commit; other processes may load the same folder meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Hidden ones are still being opened.
    files = sorted(path for path in folder.glob(f"*{suffix}") if not path.name.startswith("."))
    return sum(_load_file(path, step, store, rest) for path in files)


def release_file(descriptor: int) -> None:
    """Unlock and close a file, so that it counts as finished at once."""
    # Closing alone keeps the lock for as long as another thread's flush of the same file takes.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _load_file(path: Path, step: int, store: Callable[[bytes], int], rest: Callable[[], None]) -> int:
    loaded, is_over = 0, False
    while not is_over:
        with loader_lock(path.parent):
            number, is_over = _load_step(path, step, store)
        loaded += number
        if number:
            rest()
    return loaded


def _load_step(path: Path, step: int, store: Callable[[bytes], int]) -> tuple[int, bool]:
    """Load one step of a file; return what ``store`` returned, and whether the end was reached."""
    try:
        file = path.open("r+b", buffering=0)
    except FileNotFoundError:  # another loader was at it too
        return 0, True
    with file:
        descriptor = file.fileno()
        finished = is_finished(descriptor)  # before reading: what was written until now is loaded below
        number, is_over = (
            _load_lines(descriptor, path.name, step, store) if _has_unread(descriptor) else (0, True)
        )
    if is_over and finished:
        _remove(path)
    return number, is_over


def _load_lines(descriptor: int, name: str, step: int, store: Callable[[bytes], int]) -> tuple[int, bool]:
    offset = _stored_offset(name)
    _overwrite(descriptor, max(0, offset - step), offset)  # a loader was killed before it came to that
    data = os.pread(descriptor, step, offset)
    lines = data[: data.rfind(b"\n") + 1]
    if not lines:
        return 0, True  # half a line: its writer is still at it, or died there
    number = store(lines)
    db.session.merge(SpoolOffset(file=name, offset=offset + len(lines)))
    db.session.commit()
    _overwrite(descriptor, offset, offset + len(lines))
    # What came since is for the next time: under load there is always a little more.
    return number, len(data) < step


def _remove(path: Path) -> None:
    # Killed between these two, the row stays and is harmless: the name is never used again.
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    db.session.execute(sa.delete(SpoolOffset).where(SpoolOffset.file == path.name))
    db.session.commit()


def _stored_offset(name: str) -> int:
    with read_transactions():
        offset = db.session.scalar(sa.select(SpoolOffset.offset).where(SpoolOffset.file == name)) or 0
        db.session.rollback()
    return offset


def _has_unread(descriptor: int) -> bool:
    """Tell, without the database, whether a file holds lines that are not loaded and overwritten."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 2, max(0, size - 2)) not in {b"\n\n", b"\n"}


def _overwrite(descriptor: int, start: int, end: int) -> None:
    """Overwrite what has been loaded with empty lines."""
    os.pwrite(descriptor, b"\n" * (end - start), start)
