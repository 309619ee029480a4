"""From the spool to the database: each hit exactly once.

What was read and how far are stored in one transaction, so a loader that is killed goes on where
the database says it was.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from newsletter.db import db, reading
from newsletter.tracking.addresses import canonical
from newsletter.tracking.models import EventKind, MachineClass, SpoolOffset
from newsletter.tracking.spool import SUFFIX, is_finished, only_loader

log = logging.getLogger(__name__)

#: Bytes read and stored in one transaction: some 2,000 hits. Memory is bounded by it too, however
#: long the database was away.
STEP = 400_000


class Hit(NamedTuple):
    """One line of the spool."""

    at: datetime
    kind: EventKind
    edition_id: int
    #: 0 when the link was the same for everybody (TRACKING=aggregate); then there is no more of anyone.
    subscriber_id: int
    link_number: int | None
    ip: str | None
    user_agent: str
    #: Set by the gateway where the name is not kept.
    machine_class: MachineClass | None = None


#: Stores hits and adds them to the figures, inside one transaction that ``load`` commits.
Store = Callable[[Sequence[Hit]], None]
_KINDS = {kind.value: kind for kind in EventKind}


def load(folder: Path, *, store: Store) -> int:
    """Load everything the spool holds and return how many hits were read. Commits in steps."""
    with only_loader(folder):
        # A name begins with the time; hidden ones are still being opened.
        files = sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))
        return sum(_load_file(path, store) for path in files)


def _load_file(path: Path, store: Store) -> int:
    loaded = 0
    with path.open("rb", buffering=0) as file:
        finished = is_finished(file.fileno())
        offset = _read_so_far(path)
        for data in _steps(file.fileno(), offset):
            hits = list(_parse(data))
            offset += len(data)
            if hits:
                store(hits)
            db.session.merge(SpoolOffset(file=path.name, offset=offset))
            db.session.commit()
            loaded += len(hits)
    if finished:
        # Killed between these two, the row stays and is harmless: the name is never used again.
        with suppress(FileNotFoundError):
            path.unlink()
        db.session.execute(sa.delete(SpoolOffset).where(SpoolOffset.file == path.name))
        db.session.commit()
    return loaded


def _read_so_far(path: Path) -> int:
    with reading():
        offset = db.session.scalar(sa.select(SpoolOffset.offset).where(SpoolOffset.file == path.name)) or 0
        db.session.rollback()
    return offset


def _steps(descriptor: int, offset: int) -> Iterator[bytes]:
    """Yield whole lines, some of them at a time."""
    while data := os.pread(descriptor, STEP, offset):
        end = data.rfind(b"\n") + 1
        if not end:
            return  # half a line: its writer is still at it, or died there
        yield data[:end]
        offset += end


def _parse(data: bytes) -> Iterator[Hit]:
    lines = data.splitlines()
    try:
        written = json.loads(b"[" + b",".join(lines) + b"]")  # all at once costs half of one by one
    except ValueError:
        written = [_load_line(line) for line in lines if line]
    for values in written:
        try:
            yield _hit(*values)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError):
            log.warning("unreadable hit")  # the stump of a write cut short


def _load_line(line: bytes) -> Any:  # noqa: ANN401 - whatever stands there
    try:
        return json.loads(line)
    except ValueError:
        return None


def _hit(
    at: int,
    kind: str,
    edition_id: int,
    subscriber_id: int,
    number: int | None,
    ip: str,
    agent: str,
    made_by: str | None = None,
) -> Hit:
    moment = datetime.fromtimestamp(at / 1000, UTC)
    # PostgreSQL takes no NUL; one such line would hold all others up.
    name = agent.replace("\0", "")
    known = MachineClass(made_by) if made_by else None
    return Hit(moment, _KINDS[kind], edition_id, subscriber_id, number, canonical(ip), name, known)
