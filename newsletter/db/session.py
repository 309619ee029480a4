"""The database: session, base class, column types, and the mark of personal data."""

import enum
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

import flask_sqlalchemy
import flask_sqlalchemy.session
import sqlalchemy as sa
from flask import Flask
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

from newsletter.db.sqlite_write_lock import BEGIN_IMMEDIATE, BUSY_TIMEOUT, WriteLockConnection

#: Marks a column that tells something about a person: it needs a retention rule, an export and an erasure.
PERSONAL: dict[Any, Any] = {"personal": True}

#: The value of ``PRAGMA auto_vacuum`` for INCREMENTAL.
_AUTO_VACUUM_INCREMENTAL = 2
#: The statement that begins the next transaction on SQLite: BEGIN IMMEDIATE, or BEGIN for readers.
_begin_statement: ContextVar[str] = ContextVar("begins", default=BEGIN_IMMEDIATE)
#: SQLite's ``PRAGMA synchronous`` for the next transaction, see ``commits_without_fsync``.
_synchronous_mode: ContextVar[str] = ContextVar("flushes", default="FULL")


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware in, aware UTC out, on both engines."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive datetimes; SQLite keeps no zone, so it gets UTC without one."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime cannot be stored")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give the instant back in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """What every model is: named constraints, aware datetimes, enums by value."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own class-level setting
        datetime: UtcDateTime,
        enum.Enum: sa.Enum(
            enum.Enum,
            native_enum=False,
            length=20,
            values_callable=lambda kinds: [kind.value for kind in kinds],
        ),
        dict[str, Any]: sa.JSON(none_as_null=True),
    }


class Session(flask_sqlalchemy.session.Session):
    """Flask-SQLAlchemy's session, which tests may bind to one connection."""

    def get_bind(self, *args: Any, **kwargs: Any) -> Engine | Connection:  # noqa: ANN401 - SQLAlchemy's own
        """Return the connection a test bound us to, else the application's engine."""
        return self.bind if self.bind is not None else super().get_bind(*args, **kwargs)


# Objects stay readable after a commit: a worker must not open a transaction by looking at one.
db = flask_sqlalchemy.SQLAlchemy(
    metadata=Base.metadata, session_options={"class_": Session, "expire_on_commit": False}
)


def init_app(app: Flask) -> None:
    """Bind the session to the application and prepare each SQLite connection."""
    db.init_app(app)
    with app.app_context():
        engine = db.engine
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_transaction)


def engine_options(url: sa.URL) -> dict[str, Any]:
    """Return what the engine of a database needs to be made with."""
    return {"connect_args": {"factory": WriteLockConnection}} if url.get_backend_name() == "sqlite" else {}


@contextmanager
def read_transactions() -> Iterator[None]:
    """Begin the transactions inside as readers (plain BEGIN), which never wait for SQLite's write lock."""
    token = _begin_statement.set("BEGIN")
    try:
        yield
    finally:
        _begin_statement.reset(token)


@contextmanager
def commits_without_fsync() -> Iterator[None]:
    """Commit inside without fsync on SQLite (synchronous=NORMAL): safe from a kill, not from a power cut.

    The next commit outside flushes them too. PostgreSQL commits as always.
    """
    token = _synchronous_mode.set("NORMAL")
    try:
        yield
    finally:
        _synchronous_mode.reset(token)


def use_read_transactions() -> None:
    """Begin this thread's next transactions as readers, until ``use_write_transactions``."""
    _begin_statement.set("BEGIN")


def use_write_transactions() -> None:
    """Begin this thread's next transactions with the write lock (the default)."""
    _begin_statement.set(BEGIN_IMMEDIATE)


def restart_for_writing() -> None:
    """Roll back a read transaction, so that the next one may write. Call it before the first change."""
    use_write_transactions()
    if db.session.registry.has():  # else there is no transaction, and none need be made to end it
        db.session.rollback()


def is_sqlite() -> bool:
    """Tell whether the session's engine is SQLite."""
    return dialect().name == "sqlite"


def dialect() -> Dialect:
    """Return the SQL dialect of the session's engine."""
    return db.session.get_bind().dialect


def in_list(column: sa.ColumnElement[Any], name: str, *, for_sqlite: bool) -> sa.ColumnElement[bool]:
    """Return the condition "column is in the list bound to ``name``"; bind it with ``bind_list``.

    The SQL text is the same for every length of list, so it is compiled and prepared once; IN is not.
    """
    if for_sqlite:
        each = sa.func.json_each(sa.bindparam(name, type_=sa.String)).table_valued("value")
        return column.in_(sa.select(each.c.value))
    return column == sa.any_(sa.bindparam(name, type_=postgresql.ARRAY(column.type)))


def bind_list(values: Iterable[int] | Iterable[str]) -> str | list[int] | list[str]:
    """Return the value to bind for ``in_list``: a JSON array on SQLite, a list on PostgreSQL."""
    return json.dumps(list(values)) if is_sqlite() else list(values)  # type: ignore[return-value] # of one kind


def insert_or_ignore(table: type[Base], *rows: dict[str, Any]) -> int:
    """INSERT … ON CONFLICT DO NOTHING; return how many rows were inserted."""
    if not rows:
        return 0
    return execute_dml(insert_or_ignore_statement(table), list(rows) if len(rows) > 1 else rows[0])


def insert_or_ignore_statement(table: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT … ON CONFLICT DO NOTHING in the engine's dialect."""
    return _insert_or_ignore_statement(table, for_sqlite=is_sqlite())


@cache
def _insert_or_ignore_statement(table: type[Base], *, for_sqlite: bool) -> sqlite.Insert | postgresql.Insert:
    target = table_of(table)
    insert = sqlite.insert(target) if for_sqlite else postgresql.insert(target)
    return insert.on_conflict_do_nothing()


def table_of(model: type[Base]) -> sa.Table:
    """Return the table of a model, for statements of SQLAlchemy Core."""
    return cast(sa.Table, model.__table__)


def execute_dml(
    statement: sa.Insert | sa.Update | sa.Delete, rows: dict[str, Any] | list[dict[str, Any]] | None = None
) -> int:
    """Run an INSERT, UPDATE or DELETE without synchronizing the session; return its rowcount."""
    # SQLAlchemy forgets the count of an INSERT unless it is asked to keep it.
    options = {"synchronize_session": False, "preserve_rowcount": True}
    result = db.session.execute(statement, rows, execution_options=options)
    return cast(sa.CursorResult[Any], result).rowcount


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we begin transactions ourselves, see _begin
    connection.execute(BUSY_TIMEOUT).close()
    # Counts only in a file without tables; said again, it would take the write lock.
    if connection.execute("PRAGMA auto_vacuum").fetchone() != (_AUTO_VACUUM_INCREMENTAL,):
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL").close()
    # FULL: a consent that was answered survives a power cut. secure_delete: erased means zeroed.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_transaction(connection: Connection) -> None:
    wanted = _synchronous_mode.get()
    if connection.info.get("flushes", "FULL") != wanted:
        connection.exec_driver_sql(f"PRAGMA synchronous={wanted}").close()
        connection.info["flushes"] = wanted
    statement = connection.get_execution_options().get("begins") or _begin_statement.get()
    driver = connection.connection.driver_connection
    if statement != BEGIN_IMMEDIATE or not isinstance(driver, WriteLockConnection):
        connection.exec_driver_sql(statement)
        return
    try:
        driver.begin_immediate()
    except sqlite3.OperationalError as error:
        raise sa.exc.OperationalError(statement, None, error) from error
