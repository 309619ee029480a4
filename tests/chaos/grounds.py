"""What a story's database stands on, and what can happen to it: it goes away, its disk is full."""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.disks import SmallDisk, small_disk
from tests.support.postgres import Postgres, clear_away

#: Inside of it the database is not as it should be.
Trouble = Callable[[], AbstractContextManager[None]]
#: What a mode of the database is called.
MODES = frozenset({"away", "full"})
#: Bytes of a small disk: for an empty database and its log, and for each recipient.
_EMPTY = {"sqlite": 32_000_000, "postgresql": 250_000_000}
_EACH = 4_000


@dataclass(frozen=True, slots=True)
class Ground:
    """An empty database, the folder for a worker's own files, and what may happen."""

    url: str
    instance: Path
    troubles: tuple[Trouble, ...] = ()


@contextmanager
def ground(engine: str, mode: str, recipients: int) -> Iterator[Ground]:
    """Make a database for a story; raise CannotMount when its disk is to be full and cannot be."""
    modes = MODES & set(mode.split(","))
    with ExitStack() as stack:
        disk = (
            stack.enter_context(small_disk(_EMPTY[engine] + _EACH * recipients)) if "full" in modes else None
        )
        folder = Path(tempfile.mkdtemp(prefix="newsletter-chaos-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        make = _on_postgresql if engine == "postgresql" else _on_sqlite
        yield make(stack, modes, folder, disk)


def _on_sqlite(_stack: ExitStack, modes: frozenset[str], folder: Path, disk: SmallDisk | None) -> Ground:
    place = disk.folder if disk else folder
    path = place / "newsletter.db"
    troubles: list[Trouble] = [lambda: _locked(path)] if "away" in modes else []
    if disk:
        troubles.append(lambda: _full(disk, lambda: None))
    return Ground(f"sqlite:///{path}", place / "instance", tuple(troubles))


def _on_postgresql(stack: ExitStack, modes: frozenset[str], folder: Path, disk: SmallDisk | None) -> Ground:
    # Its user may not enter the folder of somebody else.
    place = disk.folder if disk else folder.with_name(f"{folder.name}-postgresql")
    stack.callback(clear_away, place)
    server = Postgres.outliving_its_server(place, "chaos")
    troubles: list[Trouble] = [lambda: _stopped(server)] if "away" in modes else []
    if disk:
        # It may have stopped for want of room, as it does when it cannot write its log.
        troubles.append(lambda: _full(disk, server.start))
    return Ground(server.create().render_as_string(hide_password=False), folder / "instance", tuple(troubles))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Nobody can write to a file: somebody else does, for longer than anybody waits."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def _stopped(server: Postgres) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextmanager
def _full(disk: SmallDisk, afterwards: Callable[[], None]) -> Iterator[None]:
    disk.fill()
    assert disk.free == 0
    try:
        yield
    finally:
        disk.make_room()
        time.sleep(0.2)  # a server that is just giving up has done so
        afterwards()
