"""Statements made once: SQLAlchemy looks at each anew, which takes longer than running it."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from newsletter.db import db


class Prepared:
    """A statement in an engine's own words. Rows come back as the driver gives them."""

    def __init__(self, statement: sa.Select[Any] | sa.Update, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self._text = str(compiled)
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
        bound = self._constants | values
        for name, write in self._written.items():
            bound[name] = write(bound[name])
        parameters = tuple(bound[name] for name in self._order) if self._order is not None else bound
        connection = db.session.connection()
        cursor = connection.connection.cursor()
        try:
            cursor.execute(self._text, parameters)
            return list(cursor.fetchall()) if cursor.description else []
        except connection.dialect.loaded_dbapi.Error as error:
            # As SQLAlchemy's own: it drops a connection that is gone.
            connection._handle_dbapi_exception(error, self._text, None, cursor, None)  # noqa: SLF001 - private, but all of it
            raise
        finally:
            cursor.close()
