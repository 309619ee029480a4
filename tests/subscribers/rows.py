"""Looks at all that the database holds."""

from typing import Any

import sqlalchemy as sa

from newsletter.db import Base, db


def every_row() -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table that has any, to compare before and after.

    Without what every form sent in changes, also one that changes nothing else: the funnel counts it,
    and it has been read from its file.
    """
    always = {"funnel", "spool_offsets"}
    tables = [table for table in Base.metadata.sorted_tables if table.name not in always]
    rows = {table.name: [tuple(row) for row in db.session.execute(sa.select(table))] for table in tables}
    db.session.commit()
    return {name: sorted(found, key=repr) for name, found in rows.items() if found}
