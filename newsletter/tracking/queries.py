"""Finding people's raw records: run by run, newest first."""

from collections.abc import Sequence

import sqlalchemy as sa

from newsletter.db import among, db, is_sqlite, listed
from newsletter.tracking.models import RUN, RUN_OF, Event


def numbers_of(
    subscriber_ids: Sequence[int], *, before: int | None = None, most: int | None = None
) -> Sequence[int]:
    """Return the numbers of these people's records, newest first; of those below ``before``, at most so many.

    Looks into each run of numbers once a person.
    """
    first, last = ends()
    if before is not None:
        last = max(0, min(last, before - 1))
    found = (
        sa.select(Event.id)
        .where(
            among(RUN_OF, "runs", for_sqlite=is_sqlite()),
            Event.subscriber_id.in_(subscriber_ids),
            Event.id <= last,
        )
        .order_by(Event.id.desc())
        .limit(most)
    )
    return db.session.scalars(found, {"runs": listed(range(first // RUN, last // RUN + 1))}).all()


def ends() -> tuple[int, int]:
    """Return the lowest and the highest number of a record; (1, 0) without any."""
    # Asked apart: SQLite answers either from an end of the key, and both by walking all of it.
    first, last = (db.session.scalar(sa.select(end(Event.id))) for end in (sa.func.min, sa.func.max))
    return first or 1, last or 0
