"""Look-ups of people's events through the index of id blocks, newest first."""

from collections.abc import Sequence

import sqlalchemy as sa

from newsletter.db import bind_list, db, in_list, is_sqlite
from newsletter.tracking.models import ID_BLOCK, ID_BLOCK_OF, Event


def event_ids_of(
    subscriber_ids: Sequence[int], *, before: int | None = None, most: int | None = None
) -> Sequence[int]:
    """Return the ids of these people's events, newest first: those below ``before``, at most ``most``.

    Looks into each block of ids once a person.
    """
    first, last = event_id_bounds()
    if before is not None:
        last = max(0, min(last, before - 1))
    found = (
        sa.select(Event.id)
        .where(
            in_list(ID_BLOCK_OF, "runs", for_sqlite=is_sqlite()),
            Event.subscriber_id.in_(subscriber_ids),
            Event.id <= last,
        )
        .order_by(Event.id.desc())
        .limit(most)
    )
    return db.session.scalars(
        found, {"runs": bind_list(range(first // ID_BLOCK, last // ID_BLOCK + 1))}
    ).all()


def event_id_bounds() -> tuple[int, int]:
    """Return the lowest and the highest event id; (1, 0) without any."""
    # Asked apart: SQLite answers either from an end of the key, and both by walking all of it.
    first, last = (db.session.scalar(sa.select(end(Event.id))) for end in (sa.func.min, sa.func.max))
    return first or 1, last or 0
