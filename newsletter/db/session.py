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

from newsletter.db.sqlite_write_lock import BEGIN_WRITING, BUSY_TIMEOUT, TurnTaking

#: Marks a column that tells something about a person: it needs a retention rule, an export and an erasure.
PERSONAL: dict[Any, Any] = {"personal": True}

#: What SQLite calls that kind of auto_vacuum.
_INCREMENTAL = 2
#: How the next transaction begins on SQLite: as one that may write, unless somebody says otherwise.
_begins: ContextVar[str] = ContextVar("begins", default=BEGIN_WRITING)
#: Whether commits on SQLite wait for the disk, see ``surviving_kills``.
_flushes: ContextVar[str] = ContextVar("flushes", default="FULL")


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
        event.listen(engine, "begin", _begin)


def engine_options(url: sa.URL) -> dict[str, Any]:
    """Return what the engine of a database needs to be made with."""
    return {"connect_args": {"factory": TurnTaking}} if url.get_backend_name() == "sqlite" else {}


@contextmanager
def reading() -> Iterator[None]:
    """Begin transactions inside without SQLite's write lock: readers then never wait for a writer."""
    token = _begins.set("BEGIN")
    try:
        yield
    finally:
        _begins.reset(token)


@contextmanager
def surviving_kills() -> Iterator[None]:
    """Let commits inside survive the death of any process, but on SQLite not a power cut.

    The next commit outside takes them to the disk with it. PostgreSQL commits as always.
    """
    token = _flushes.set("NORMAL")
    try:
        yield
    finally:
        _flushes.reset(token)


def begin_reading() -> None:
    """Let this thread's coming transactions begin as readers, until it says otherwise."""
    _begins.set("BEGIN")


def begin_as_usual() -> None:
    """Let this thread's next transaction begin as one that may write."""
    _begins.set(BEGIN_WRITING)


def begin_writing() -> None:
    """End a reading transaction, so that the next one may write. Call it before the first change."""
    begin_as_usual()
    if db.session.registry.has():  # else there is no transaction, and none need be made to end it
        db.session.rollback()


def is_sqlite() -> bool:
    """Tell which engine the session talks to."""
    return dialect().name == "sqlite"


def dialect() -> Dialect:
    """Return what the engine that the session talks to understands."""
    return db.session.get_bind().dialect


def among(column: sa.ColumnElement[Any], name: str, *, for_sqlite: bool) -> sa.ColumnElement[bool]:
    """Hold a column to the list bound to ``name``, given as ``listed`` makes it.

    The statement is the same however long the list is, so it is prepared once; IN is not.
    """
    if for_sqlite:
        each = sa.func.json_each(sa.bindparam(name, type_=sa.String)).table_valued("value")
        return column.in_(sa.select(each.c.value))
    return column == sa.any_(sa.bindparam(name, type_=postgresql.ARRAY(column.type)))


def listed(values: Iterable[int] | Iterable[str]) -> str | list[int] | list[str]:
    """Return a list as a statement with ``among`` takes it."""
    return json.dumps(list(values)) if is_sqlite() else list(values)  # type: ignore[return-value] # of one kind


def insert_or_ignore(table: type[Base], *rows: dict[str, Any]) -> int:
    """Insert rows, leaving those that a unique constraint already holds; return how many went in."""
    if not rows:
        return 0
    return change(insert_ignoring(table), list(rows) if len(rows) > 1 else rows[0])


def insert_ignoring(table: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that leaves rows which a unique constraint already holds."""
    return _insert_ignoring(table, for_sqlite=is_sqlite())


@cache
def _insert_ignoring(table: type[Base], *, for_sqlite: bool) -> sqlite.Insert | postgresql.Insert:
    target = table_of(table)
    insert = sqlite.insert(target) if for_sqlite else postgresql.insert(target)
    return insert.on_conflict_do_nothing()


def table_of(model: type[Base]) -> sa.Table:
    """Return the table of a model, for statements past the objects."""
    return cast(sa.Table, model.__table__)


def change(
    statement: sa.Insert | sa.Update | sa.Delete, rows: dict[str, Any] | list[dict[str, Any]] | None = None
) -> int:
    """Run a statement past the objects in the session; return how many rows it made, met or deleted."""
    # SQLAlchemy forgets the count of an INSERT unless it is asked to keep it.
    options = {"synchronize_session": False, "preserve_rowcount": True}
    result = db.session.execute(statement, rows, execution_options=options)
    return cast(sa.CursorResult[Any], result).rowcount


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we begin transactions ourselves, see _begin
    connection.execute(BUSY_TIMEOUT).close()
    # Counts only in a file without tables; said again, it would take the write lock.
    if connection.execute("PRAGMA auto_vacuum").fetchone() != (_INCREMENTAL,):
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL").close()
    # FULL: a consent that was answered survives a power cut. secure_delete: erased means zeroed.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    wanted = _flushes.get()
    if connection.info.get("flushes", "FULL") != wanted:
        connection.exec_driver_sql(f"PRAGMA synchronous={wanted}").close()
        connection.info["flushes"] = wanted
    statement = connection.get_execution_options().get("begins") or _begins.get()
    driver = connection.connection.driver_connection
    if statement != BEGIN_WRITING or not isinstance(driver, TurnTaking):
        connection.exec_driver_sql(statement)
        return
    try:
        driver.begin_writing()
    except sqlite3.OperationalError as error:
        raise sa.exc.OperationalError(statement, None, error) from error
