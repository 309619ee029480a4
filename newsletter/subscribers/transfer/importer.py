"""A consent given elsewhere counts here only with its proof, and an import never brings anyone back.

Who left stays away, who is suppressed is passed over, who is here already is left as they are, and
nobody gets a mail. Rows are stored some hundreds at a time, each time in a transaction of its own:
what a killed import had stored, the next run meets as already there.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from newsletter.db import db
from newsletter.ledger import audit
from newsletter.subscribers.models import Import, MailingList
from newsletter.subscribers.transfer.import_batch import store_batch
from newsletter.subscribers.transfer.import_file import Layout, Row, Rows
from newsletter.subscribers.transfer.import_rejects import Rejects
from newsletter.subscribers.transfer.import_row import Entry, RowRejected, read_entry

log = logging.getLogger(__name__)

#: Rows stored in one transaction.
BATCH = 1000
#: Counted are rows and, from "added" on, subscriptions: each row is about one on each list.
COUNTED = ("rows", "rejected", "suppressed", "restricted", "added", "confirmed", "already", "left")


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. ``rejects`` is the file of the rows that were not taken, None without any."""

    id: int
    counts: dict[str, int]
    rejects: Path | None


def import_file(
    layout: Layout,
    lists: Sequence[MailingList],
    *,
    now: datetime,
    actor: str,
    progress: Callable[[int], object],
) -> Imported:
    """Import a file that ``examine`` has looked through, telling ``progress`` how many bytes are done.

    Commits as it goes; the same file again changes nobody. Raises FileUnreadable.
    """
    counts = Counter(dict.fromkeys(COUNTED, 0))
    with Rows(layout) as rows, Rejects(layout) as rejects:
        import_id = _begin(layout, lists, now, actor)
        for chunk in _chunks(rows):
            entries = _accepted(chunk, layout, rejects, now)
            counts.update(rows=len(chunk), rejected=len(chunk) - len(entries))
            counts.update(store_batch(entries, lists, import_id=import_id, now=now))
            db.session.commit()
            progress(rows.position)
    _finish(import_id, counts, now, actor)
    return Imported(import_id, dict(counts), rejects.path if rejects.count else None)


def _begin(layout: Layout, lists: Sequence[MailingList], now: datetime, actor: str) -> int:
    slugs = ",".join(mailing_list.slug for mailing_list in lists)
    killed = sa.select(Import.id).where(
        Import.file_hash == layout.digest, Import.lists == slugs, Import.finished_at.is_(None)
    )
    import_id = db.session.scalar(killed.order_by(Import.id).limit(1))
    if import_id is None:
        begun = Import(
            file_name=layout.path.name, file_hash=layout.digest, lists=slugs, actor=actor, started_at=now
        )
        db.session.add(begun)
        db.session.flush()
        import_id = begun.id
    audit.record("import started", actor=actor, now=now, object=f"import:{import_id}")
    db.session.commit()
    return import_id


def _chunks(rows: Rows) -> Iterator[list[Row]]:
    given = iter(rows)
    next(given)  # the header
    while chunk := list(islice(given, BATCH)):
        yield chunk


def _accepted(chunk: list[Row], layout: Layout, rejects: Rejects, now: datetime) -> list[Entry]:
    entries = []
    for row in chunk:
        try:
            entries.append(read_entry(row, layout, now=now))
        except RowRejected as rejection:
            rejects.write(row, str(rejection))
    return entries


def _finish(import_id: int, counts: Counter[str], now: datetime, actor: str) -> None:
    db.session.execute(
        sa.update(Import).where(Import.id == import_id).values(finished_at=now, counts=dict(counts))
    )
    told: dict[str, Any] = dict(counts)
    audit.record("import finished", actor=actor, now=now, object=f"import:{import_id}", **told)
    db.session.commit()
    log.info("import finished", extra={"import_id": import_id, **counts})
