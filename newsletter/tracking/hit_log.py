"""The spool: where a hit is safe before the database has heard of it.

Each web process appends to a file of its own, one write a line, so a killed process loses nothing
that it answered; a thread flushes to the disk every 200 ms, so a power cut loses no more than that.
The writer holds a lock on its file. A file nobody holds is finished and will not grow.
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

from newsletter.durable.log_loader import let_go, open_new

log = logging.getLogger(__name__)

SUFFIX = ".hits"
FLUSH_SECONDS = 0.2
#: A file is closed after this long, so that a loaded one can be removed.
ROTATE_SECONDS = 30.0


_COUNT = struct.Struct(">Q")


class LostHits:
    """How many hits this machine could not write, counted over all its processes and their lives.

    The file has its size from the start and is changed in memory, which works on a full disk too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with contextlib.suppress(OSError):
            self._make()

    def add(self) -> None:
        """Count one."""
        with contextlib.suppress(OSError, ValueError), self._path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with mmap.mmap(file.fileno(), _COUNT.size) as memory:
                (lost,) = _COUNT.unpack(memory[:])
                memory[:] = _COUNT.pack(lost + 1)

    def read(self) -> int:
        """Return how many there were; 0 where nothing could ever be counted."""
        with contextlib.suppress(OSError, struct.error):
            return int(_COUNT.unpack(self._path.read_bytes())[0])
        return 0

    def _make(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if file.tell() < _COUNT.size:
                file.write(bytes(_COUNT.size))


def lost_hits(instance: Path) -> int:
    """Return how many hits of this machine's web processes could not be written."""
    return LostHits(instance / "hits_lost").read()


class Spool:
    """This process's spool. Opened at the first hit, in whichever process that is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._file: int | None = None
        self._opened = 0.0
        self._dirty = False
        self._torn = False
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
                self._lose()
                return False

    def close(self) -> None:
        """Flush and let go of the file."""
        with self._lock:
            file, self._file = self._file, None
        if file is not None:
            os.fdatasync(file)
            let_go(file)

    def _write(self, line: bytes) -> bool:
        # After a write cut short by a full disk, the next line must not grow onto the stump.
        data = b"\n" + line if self._torn else line
        assert self._file is not None  # noqa: S101 - append has just opened it
        self._torn = os.write(self._file, data) < len(data)
        self._dirty = True
        if self._torn:
            self._lose()
        return not self._torn

    def _lose(self) -> None:
        self.lost += 1
        self._all_lost.add()

    def _open(self) -> None:
        self._file = open_new(self._folder, SUFFIX)
        self._opened = time.monotonic()
        self._torn = False
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
                    let_go(file)


def waiting_bytes(folder: Path) -> int:
    """Return how much this machine's spool holds."""
    total = 0
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # loaded meanwhile
            total += path.stat().st_size
    return total
