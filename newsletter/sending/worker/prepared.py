"""Statements compiled once and run on the driver: saves SQLAlchemy's work at each execution."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from newsletter.db import db

Statement = sa.Select[Any] | sa.CompoundSelect[Any] | sa.Update


class PreparedStatement:
    """A statement compiled for one dialect. Rows are returned as the driver gives them."""

    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self._text = str(compiled)
        self._has_rows = not isinstance(statement, sa.Update) or bool(compiled.effective_returning)
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
        """Execute in the session's transaction and return the rows; objects are not synchronized."""
        return self._run_on(db.session.connection(), values)

    def run_autocommit(self, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Execute as a transaction of its own (autocommit, one round trip) and return the rows."""
        engine = db.session.get_bind()
        if isinstance(engine, sa.Connection):  # it may be within a transaction, as in a test
            rows = self.run(values)
            db.session.commit()
            return rows
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            return self._run_on(connection, values)

    def _run_on(self, connection: sa.Connection, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        bound = self._constants | values
        for name, write in self._written.items():
            bound[name] = write(bound[name])
        parameters = tuple(bound[name] for name in self._order) if self._order is not None else bound
        cursor = connection.connection.cursor()
        with _sqlalchemy_errors(connection, self._text, cursor):
            cursor.execute(self._text, parameters)
            rows = list(cursor.fetchall()) if self._has_rows else []
        cursor.close()
        return rows


@contextmanager
def _sqlalchemy_errors(connection: sa.Connection, text: str, cursor: Any) -> Iterator[None]:  # noqa: ANN401 - the driver's
    """Raise errors of the driver as SQLAlchemy does, which drops a connection that is gone."""
    try:
        yield
    except connection.dialect.loaded_dbapi.Error as error:
        connection._handle_dbapi_exception(error, text, None, cursor, None)  # noqa: SLF001 - private, but all of it
        raise
