"""Statements made once: SQLAlchemy looks at each anew, which takes longer than running it."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from newsletter.db import db


class Prepared:
    """A statement in an engine's own words. Rows come back as the driver gives them."""

    def __init__(self, statement: sa.Select[Any] | sa.Update, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self._text = str(compiled)
        self._has_rows = isinstance(statement, sa.Select) or bool(compiled.effective_returning)
        self._order = compiled.positiontup
        self._constants: dict[str, Any] = {}
        self._written: dict[str, Any] = {}
        for name, bind in compiled.binds.items():
            write = bind.type.dialect_impl(dialect).bind_processor(dialect)
            if bind.required:
                self._written |= {name: write} if write else {}
            else:
                value = bind.effective_value
                self._constants[name] = write(value) if write else value

    def run(self, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Execute in the session's transaction, past its objects, and return the rows."""
        return self.start(values).rows()

    def start(self, values: dict[str, Any]) -> "Started":
        """Do as ``run``, and let the rows be asked for later."""
        bound = self._constants | values
        for name, write in self._written.items():
            bound[name] = write(bound[name])
        parameters = tuple(bound[name] for name in self._order) if self._order is not None else bound
        started = Started(db.session.connection(), self._text, has_rows=self._has_rows)
        started.execute(parameters)
        return started


class Started:
    """A statement on its way."""

    def __init__(self, connection: sa.Connection, text: str, *, has_rows: bool) -> None:
        self._connection, self._text, self._has_rows = connection, text, has_rows
        self._cursor = connection.connection.cursor()

    def execute(self, parameters: Any) -> None:  # noqa: ANN401 - a tuple or a dict, as the driver likes it
        """Send it."""
        with _told_as_usual(self._connection, self._text, self._cursor):
            self._cursor.execute(self._text, parameters)

    def rows(self) -> list[tuple[Any, ...]]:
        """Wait for it, and return its rows."""
        with _told_as_usual(self._connection, self._text, self._cursor):
            rows = list(self._cursor.fetchall()) if self._has_rows else []
        self._cursor.close()
        return rows


@contextmanager
def together() -> Iterator[None]:
    """Let PostgreSQL answer what is started in here in one go: each answer waited for costs a round trip.

    SQLite has none to save.
    """
    connection = db.session.connection()
    driver = connection.connection.driver_connection
    with (
        _told_as_usual(connection),
        driver.pipeline() if isinstance(driver, psycopg.Connection) else nullcontext(),
    ):
        yield


@contextmanager
def _told_as_usual(connection: sa.Connection, text: str = "", cursor: Any = None) -> Iterator[None]:  # noqa: ANN401 - the driver's
    """Raise errors of the driver as SQLAlchemy does, which drops a connection that is gone."""
    try:
        yield
    except connection.dialect.loaded_dbapi.Error as error:
        connection._handle_dbapi_exception(error, text, None, cursor, None)  # noqa: SLF001 - private, but all of it
        raise
