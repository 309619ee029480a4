"""The hit log: append-only files of opens and clicks, loaded into the database later.

Each web process appends to a file of its own, one write(2) a line, so a killed process loses no hit that
it answered; a thread calls fdatasync every 200 ms, so a power cut loses no more than that. The writer
holds a lock on its file; an unlocked file is finished and will not grow.
"""

import contextlib
import fcntl
import logging
import mmap
import os
import struct
import threading
import time
from pathlib import Path

from newsletter.durable.log_loader import create_log_file, release_file

log = logging.getLogger(__name__)

HIT_SUFFIX = ".hits"
FLUSH_SECONDS = 0.2
#: A file is closed after this long, so that a loaded one can be removed.
ROTATE_SECONDS = 30.0


_COUNTER_FORMAT = struct.Struct(">Q")


class LostHits:
    """A counter, in a file, of hits that could not be written, over all processes of this machine.

    The file is allocated at the start and changed through mmap, which works on a full disk too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with contextlib.suppress(OSError):
            self._make()

    def add(self) -> None:
        """Count one."""
        with contextlib.suppress(OSError, ValueError), self._path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with mmap.mmap(file.fileno(), _COUNTER_FORMAT.size) as memory:
                (lost,) = _COUNTER_FORMAT.unpack(memory[:])
                memory[:] = _COUNTER_FORMAT.pack(lost + 1)

    def read(self) -> int:
        """Return how many there were; 0 where nothing could ever be counted."""
        with contextlib.suppress(OSError, struct.error):
            return int(_COUNTER_FORMAT.unpack(self._path.read_bytes())[0])
        return 0

    def _make(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if file.tell() < _COUNTER_FORMAT.size:
                file.write(bytes(_COUNTER_FORMAT.size))


def lost_hits(instance: Path) -> int:
    """Return how many hits of this machine's web processes could not be written."""
    return LostHits(instance / "hits_lost").read()


class HitLog:
    """The hit log of this process; its file is opened at the first hit, so after a fork."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._file: int | None = None
        self._opened = 0.0
        self._dirty = False
        self._is_truncated = False
        self._flusher: threading.Thread | None = None
        #: Hits of this process that could not be written (disk full).
        self.lost = 0
        self._all_lost = LostHits(folder.with_name("hits_lost"))

    def append(self, line: bytes) -> bool:
        """Write one line, which ends in a newline; False when it could not be written."""
        with self._lock:
            try:
                if self._file is None:
                    self._open()
                return self._write(line)
            except OSError:
                if not self.lost:
                    log.exception("hit not recorded")  # once: a full disk needs no more lines in a log
                self._count_lost()
                return False

    def close(self) -> None:
        """Flush and release the file."""
        with self._lock:
            file, self._file = self._file, None
        if file is not None:
            os.fdatasync(file)
            release_file(file)

    def _write(self, line: bytes) -> bool:
        # After a write cut short by a full disk, the next line must not join its rest.
        data = b"\n" + line if self._is_truncated else line
        assert self._file is not None  # noqa: S101 - append has just opened it
        self._is_truncated = os.write(self._file, data) < len(data)
        self._dirty = True
        if self._is_truncated:
            self._count_lost()
        return not self._is_truncated

    def _count_lost(self) -> None:
        self.lost += 1
        self._all_lost.add()

    def _open(self) -> None:
        self._file = create_log_file(self._folder, HIT_SUFFIX)
        self._opened = time.monotonic()
        self._is_truncated = False
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush_forever, name="spool", daemon=True)
            self._flusher.start()

    def _flush_forever(self) -> None:
        while True:
            time.sleep(FLUSH_SECONDS)
            with self._lock:
                file, dirty, self._dirty = self._file, self._dirty, False
                is_old = file is not None and time.monotonic() - self._opened > ROTATE_SECONDS
                if is_old:
                    self._file = None
            if file is None:
                continue
            with contextlib.suppress(OSError):
                if dirty:
                    os.fdatasync(file)  # without the lock: hits go on meanwhile
                if is_old:  # else close() may have done it meanwhile, and the number be another's
                    release_file(file)


def pending_bytes(folder: Path) -> int:
    """Return how many bytes of hits this machine has not loaded yet."""
    total = 0
    for path in folder.glob(f"*{HIT_SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # loaded meanwhile
            total += path.stat().st_size
    return total
