"""Spool files: where something is safe before the database has heard of it.

A process appends lines to a file of its own and holds a lock on it; a file nobody holds is finished
and will not grow. One loader moves whole lines into the database and stores how far it got in the
same transaction, so a loader that is killed neither loses nor doubles. What has been loaded is
blanked at once: the files hold nothing but what is still on its way.
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

from newsletter.db import Base, db, reading

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND


class SpoolOffset(Base):
    """How far a spool file has been read, kept in the transaction that stored what was read."""

    __tablename__ = "spool_offsets"

    file: Mapped[str] = mapped_column(primary_key=True)
    offset: Mapped[int]


def open_new(folder: Path, suffix: str) -> int:
    """Return a descriptor of a new file, locked; its name begins with the time."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{time.time_ns():020}-{secrets.token_hex(4)}{suffix}"
    hidden = folder / f".{name}"
    file = os.open(hidden, _APPEND, 0o600)
    # Locked before the loader can see it: an unlocked file is finished, and an empty one goes.
    fcntl.flock(file, fcntl.LOCK_EX)
    hidden.rename(folder / name)
    return file


@contextlib.contextmanager
def only_loader(folder: Path) -> Iterator[None]:
    """Wait until no other process of this machine loads this spool, and keep others waiting."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "loader.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_finished(descriptor: int) -> bool:
    """Tell whether the writer of an open spool file has let go of it."""
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
    """Load what a spool held when asked, some of it at a time; return the sum of what ``store`` returned.

    ``store`` gets whole lines and changes rows in a transaction that is committed here. ``step`` bounds
    the bytes of one transaction, and so the memory, however long the database was away. After each step
    ``rest`` is called; others may load the same spool meanwhile, step by step too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Hidden ones are still being opened.
    files = sorted(path for path in folder.glob(f"*{suffix}") if not path.name.startswith("."))
    return sum(_load_file(path, step, store, rest) for path in files)


def let_go(descriptor: int) -> None:
    """Close a file so that it counts as finished at once, whoever else still has it open."""
    # Closing alone keeps the lock for as long as another thread's flush of the same file takes.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _load_file(path: Path, step: int, store: Callable[[bytes], int], rest: Callable[[], None]) -> int:
    loaded, is_over = 0, False
    while not is_over:
        with only_loader(path.parent):
            number, is_over = _load_part(path, step, store)
        loaded += number
        if number:
            rest()
    return loaded


def _load_part(path: Path, step: int, store: Callable[[bytes], int]) -> tuple[int, bool]:
    """Load a part of a file; return what ``store`` returned, and whether there was no more."""
    try:
        file = path.open("r+b", buffering=0)
    except FileNotFoundError:  # another loader was at it too
        return 0, True
    with file:
        descriptor = file.fileno()
        finished = is_finished(descriptor)  # asked first: what is written until then is loaded below
        number, is_over = (
            _load_lines(descriptor, path.name, step, store) if _has_news(descriptor) else (0, True)
        )
    if is_over and finished:
        _remove(path)
    return number, is_over


def _load_lines(descriptor: int, name: str, step: int, store: Callable[[bytes], int]) -> tuple[int, bool]:
    offset = _read_so_far(name)
    _blank(descriptor, max(0, offset - step), offset)  # a loader was killed before it came to that
    data = os.pread(descriptor, step, offset)
    lines = data[: data.rfind(b"\n") + 1]
    if not lines:
        return 0, True  # half a line: its writer is still at it, or died there
    number = store(lines)
    db.session.merge(SpoolOffset(file=name, offset=offset + len(lines)))
    db.session.commit()
    _blank(descriptor, offset, offset + len(lines))
    # What came since is for the next time: under load there is always a little more.
    return number, len(data) < step


def _remove(path: Path) -> None:
    # Killed between these two, the row stays and is harmless: the name is never used again.
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    db.session.execute(sa.delete(SpoolOffset).where(SpoolOffset.file == path.name))
    db.session.commit()


def _read_so_far(name: str) -> int:
    with reading():
        offset = db.session.scalar(sa.select(SpoolOffset.offset).where(SpoolOffset.file == name)) or 0
        db.session.rollback()
    return offset


def _has_news(descriptor: int) -> bool:
    """Tell, without the database, whether a file has more than what was loaded and blanked."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 2, max(0, size - 2)) not in {b"\n\n", b"\n"}


def _blank(descriptor: int, start: int, end: int) -> None:
    """Overwrite what has been loaded with empty lines."""
    os.pwrite(descriptor, b"\n" * (end - start), start)
