"""``newsletter db copy``: move the embedded SQLite database to PostgreSQL, whole or not at all.

The target's tables are filled in one transaction, which is committed only when every row has been read
back and every seal verifies. The source is held alone meanwhile, only read, and stays as it was.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask import Flask
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection

from newsletter.config import current_settings
from newsletter.db import Base, db
from newsletter.db import init_app as init_database
from newsletter.db.batching import ProgressCallback, ignore_progress
from newsletter.errors import NewsletterError
from newsletter.ledger import audit
from newsletter.running import migrations
from newsletter.subscribers.consent.evidence import verify_ledger

#: How long whoever is just leaving the source gets to let go of it, in seconds.
_PATIENCE = 2.0
#: Rows of the target in memory while they are read back; fewer where a row may hold a picture.
_ROWS = 200
_ROWS_WITH_FILES = 5
_CHECKSUM_MODULUS = 2**64


class CopyRefused(NewsletterError):
    """The database was not copied; the target is as it was, but for empty tables."""

    message = "Nothing was copied: %(reason)s"


def copy_database(
    url: URL, *, now: datetime, actor: str, tell: ProgressCallback = ignore_progress
) -> dict[str, Any]:
    """Copy this instance's SQLite database to an empty PostgreSQL database; return counts.

    Commits to the target at the very end, and nothing if interrupted before. Raises CopyRefused when
    the source is in use or no SQLite, or the target cannot be reached, has rows, or differs afterwards.
    """
    if not current_settings().uses_sqlite:
        raise CopyRefused(reason="this database is not SQLite; use backup and restore")
    if url.get_backend_name() != "postgresql":
        raise CopyRefused(reason="the target is not PostgreSQL; give postgresql://user@host/name")
    source_url = current_settings().database_url
    db.session.remove()
    db.engine.dispose()  # our own connections count as others
    with _held_alone(source_url) as source, _application_on(url):
        _refuse_unknown_tables(source)
        _prepare_target()
        target = db.session.connection()
        try:
            return _fill(source, target, tell, now=now, actor=actor)
        except target.dialect.loaded_dbapi.Error as error:
            raise CopyRefused(reason=_first_line(error)) from error
        except sa.exc.DBAPIError as error:
            raise CopyRefused(reason=_first_line(error.orig)) from error


def _fill(
    source: Connection, target: Connection, tell: ProgressCallback, *, now: datetime, actor: str
) -> dict[str, Any]:
    """Copy, check and commit; see ``copy_database``."""
    tables = Base.metadata.sorted_tables
    quoted = ", ".join(map(target.dialect.identifier_preparer.format_table, tables))
    target.exec_driver_sql(f"LOCK TABLE {quoted} IN EXCLUSIVE MODE")
    _require_empty(target, (table.name for table in tables))
    rows = 0
    for position, table in enumerate(tables, start=1):
        copied = _copy_table(table, source, target)
        if copied != _read_back(table, target):
            raise CopyRefused(reason=f"the rows of {table.name} are not the same afterwards")
        _advance_sequence(table, source, target)
        rows += copied[0]
        tell(position, len(tables))
    verdicts = (verify_ledger(), audit.verify_log())
    target.exec_driver_sql("ANALYZE")
    audit.record("database copied", actor=actor, now=now, rows=rows)
    db.session.commit()
    return {
        "tables": len(tables),
        "rows": rows,
        "sealed_facts": verdicts[0].rows,
        "sealed_acts": verdicts[1].rows,
        # Row by row the same as in the source, so whatever is broken was so before.
        "broken": [place for verdict in verdicts for place in verdict.broken],
    }


# --- the two databases -----------------------------------------------------------------------------


@contextmanager
def _held_alone(url: URL) -> Iterator[Connection]:
    """Open the source so that nobody else can while we have it; raise CopyRefused while anybody does."""
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"timeout": _PATIENCE})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - sqlite3's own
        connection.isolation_level = None  # we begin the transaction ourselves, below
        connection.execute("PRAGMA locking_mode=EXCLUSIVE").close()

    with engine.connect() as connection:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except sa.exc.OperationalError as error:
            raise CopyRefused(
                reason="the database is in use; stop the newsletter everywhere first"
            ) from error
        yield connection


@contextmanager
def _application_on(url: URL) -> Iterator[None]:
    """Let sessions, migrations and checks work on the target: they go by the current application."""
    app = Flask(__name__, instance_path=str(current_settings().instance_path))
    app.config.update(
        NEWSLETTER=replace(current_settings(), database_url=url),
        SQLALCHEMY_DATABASE_URI=url,
        SQLALCHEMY_ENGINE_OPTIONS={"hide_parameters": True},
    )
    try:
        init_database(app)
    except ModuleNotFoundError as error:
        raise CopyRefused(reason="a package is missing; pip install 'newsletter[postgres]'") from error
    with app.app_context():
        try:
            yield
        finally:
            db.session.remove()
            db.engine.dispose()


def _prepare_target() -> None:
    """Give an empty target this version's tables; raise CopyRefused for one that has rows or other tables."""
    try:
        with db.engine.connect() as connection:
            names = set(sa.inspect(connection).get_table_names())
            if names and "alembic_version" not in names:
                raise CopyRefused(reason="the target has tables of something else; make an empty database")
            _require_empty(connection, sorted(names - {"alembic_version"}))
    except sa.exc.OperationalError as error:
        raise CopyRefused(reason=_first_line(error.orig)) from error
    migrations.upgrade()


def _require_empty(connection: Connection, names: Iterable[str]) -> None:
    for name in names:
        if connection.scalar(sa.select(sa.literal(1)).select_from(sa.table(name)).limit(1)):
            raise CopyRefused(reason=f"the target is not empty: {name} has rows")


def _refuse_unknown_tables(source: Connection) -> None:
    """Refuse rather than leave something behind."""
    known = {*Base.metadata.tables, "alembic_version"}
    if unknown := sorted(set(sa.inspect(source).get_table_names()) - known):
        raise CopyRefused(reason=f"the database has tables that are not ours: {', '.join(unknown)}")


# --- rows ------------------------------------------------------------------------------------------


def _copy_table(table: sa.Table, source: Connection, target: Connection) -> tuple[int, int]:
    """Stream a table through COPY; return how many rows went and the sum of their hashes."""
    dialect, prepared = target.dialect, target.dialect.identifier_preparer
    processors = [column.type.dialect_impl(dialect).bind_processor(dialect) for column in table.columns]
    names = ", ".join(map(prepared.format_column, table.columns))
    statement = f"COPY {prepared.format_table(table)} ({names}) FROM STDIN"
    driver: Any = target.connection.driver_connection  # psycopg's own: SQLAlchemy has no COPY
    count = checksum = 0
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for row in source.execute(sa.select(table)):
            copy.write_row(
                [
                    processor(value) if processor else value
                    for processor, value in zip(processors, row, strict=True)
                ]
            )
            count += 1
            checksum = (checksum + _hash(row)) % _CHECKSUM_MODULUS
    return count, checksum


def _read_back(table: sa.Table, target: Connection) -> tuple[int, int]:
    """Return what ``_copy_table`` does, from the target; the sum does not depend on the order."""
    has_files = any(isinstance(column.type, sa.LargeBinary) for column in table.columns)
    options = {"stream_results": True, "max_row_buffer": _ROWS_WITH_FILES if has_files else _ROWS}
    count = checksum = 0
    with target.execute(sa.select(table), execution_options=options) as rows:
        for row in rows:
            count += 1
            checksum = (checksum + _hash(row)) % _CHECKSUM_MODULUS
    return count, checksum


def _hash(row: sa.Row[Any]) -> int:
    return int.from_bytes(hashlib.blake2b(repr(tuple(row)).encode(), digest_size=8).digest())


def _advance_sequence(table: sa.Table, source: Connection, target: Connection) -> None:
    """Let new rows be numbered after all that SQLite has ever given out: some numbers stand in old mails."""
    column = table.autoincrement_column
    if column is None:
        return
    sequence = target.scalar(sa.select(sa.func.pg_get_serial_sequence(table.name, column.name)))
    if sequence is None:
        return
    given_out = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :name")
    last = max(
        source.scalar(given_out, {"name": table.name}) or 0,
        source.scalar(sa.select(sa.func.max(column))) or 0,
    )
    target.execute(sa.select(sa.func.setval(sequence, max(last, 1), last > 0)))


def _first_line(error: BaseException | None) -> str:
    """Return what the server says, without the lines that quote a row."""
    return (str(error).strip().splitlines() or ["the server gave no reason"])[0]
