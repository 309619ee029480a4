"""Import of confirmed subscribers with the proof of a consent given elsewhere.

Unsubscribed people stay unsubscribed, suppressed addresses are skipped, existing subscriptions are left
unchanged, and no mail is sent. Rows are stored in batches, each in its own transaction: rows stored by an
interrupted import are counted as "already" by the next run.
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
from newsletter.subscribers.transfer.import_file import CsvRow, FileLayout, RowReader
from newsletter.subscribers.transfer.import_rejects import RejectsFile
from newsletter.subscribers.transfer.import_row import ImportEntry, RowRejected, parse_row

log = logging.getLogger(__name__)

#: Rows stored in one transaction.
BATCH_SIZE = 1000
#: Counts of rows and, from "added" on, of subscriptions: each row has one on each list.
COUNT_NAMES = ("rows", "rejected", "suppressed", "restricted", "added", "confirmed", "already", "left")


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The result of an import. ``rejects`` is the path of the rejects file, None without rejected rows."""

    id: int
    counts: dict[str, int]
    rejects: Path | None


def import_file(
    layout: FileLayout,
    lists: Sequence[MailingList],
    *,
    now: datetime,
    actor: str,
    progress: Callable[[int], object],
) -> ImportResult:
    """Import a file checked by ``inspect_file``; ``progress`` is called with the bytes done.

    Commits after each batch; importing the same file again changes nothing. Raises FileUnreadable.
    """
    counts = Counter(dict.fromkeys(COUNT_NAMES, 0))
    with RowReader(layout) as rows, RejectsFile(layout) as rejects:
        import_id = _start_or_resume(layout, lists, now, actor)
        for chunk in _iterate_chunks(rows):
            entries = _parse_entries(chunk, layout, rejects, now)
            counts.update(rows=len(chunk), rejected=len(chunk) - len(entries))
            counts.update(store_batch(entries, lists, import_id=import_id, now=now))
            db.session.commit()
            progress(rows.position)
    _finish(import_id, counts, now, actor)
    return ImportResult(import_id, dict(counts), rejects.path if rejects.count else None)


def _start_or_resume(layout: FileLayout, lists: Sequence[MailingList], now: datetime, actor: str) -> int:
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


def _iterate_chunks(rows: RowReader) -> Iterator[list[CsvRow]]:
    given = iter(rows)
    next(given)  # the header
    while chunk := list(islice(given, BATCH_SIZE)):
        yield chunk


def _parse_entries(
    chunk: list[CsvRow], layout: FileLayout, rejects: RejectsFile, now: datetime
) -> list[ImportEntry]:
    entries = []
    for row in chunk:
        try:
            entries.append(parse_row(row, layout, now=now))
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
