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


def load(folder: Path, *, store: Store, rest: Callable[[], None] = lambda: None) -> int:
    """Load everything the spool held when asked, and return how many hits were read.

    Commits in steps, and rests in between. Others may load the same spool meanwhile, step by step too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A name begins with the time; hidden ones are still being opened.
    files = sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))
    loaded = 0
    for path in files:
        is_over = False
        while not is_over:
            with only_loader(folder):
                number, is_over = _load_step(path, store)
            loaded += number
            if number:
                rest()
    return loaded


def _load_step(path: Path, store: Store) -> tuple[int, bool]:
    """Load a part of a file; return how many hits it had, and whether there was no more."""
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError:  # another loader was at it too
        return 0, True
    with file:
        finished = is_finished(file.fileno())
        offset = _read_so_far(path)
        data = os.pread(file.fileno(), STEP, offset)
    lines = data[: data.rfind(b"\n") + 1]  # half a line: its writer is still at it, or died there
    hits = list(_parse(lines))
    if lines:
        if hits:
            store(hits)
        db.session.merge(SpoolOffset(file=path.name, offset=offset + len(lines)))
        db.session.commit()
    # What came since is for the next time: under load there is always a little more.
    is_over = len(data) < STEP or not lines
    if is_over and finished:
        _remove(path)
    return len(hits), is_over


def _remove(path: Path) -> None:
    # Killed between these two, the row stays and is harmless: the name is never used again.
    with suppress(FileNotFoundError):
        path.unlink()
    db.session.execute(sa.delete(SpoolOffset).where(SpoolOffset.file == path.name))
    db.session.commit()


def _read_so_far(path: Path) -> int:
    with reading():
        offset = db.session.scalar(sa.select(SpoolOffset.offset).where(SpoolOffset.file == path.name)) or 0
        db.session.rollback()
    return offset


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
