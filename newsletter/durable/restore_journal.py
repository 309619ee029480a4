"""The journal: a file outside the database, so that a restored backup undoes nobody's wish.

It says who was erased, and who left, refused measuring, objected, was blocked or restricted since, who has
another address, which requests are in the register, and whose access here has ended. A line has the
keyed hash of the address, the number of the person and since when we knew them; never the address. It
is on the disk before the database commits the act, and is forgotten with the backups.

What ends such a wish, as a ban lifted, is noted only after its commit: killed between the two, a
restore is stricter than the person wanted, never laxer.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session as AnySession

from newsletter.config import settings
from newsletter.db import Session, db

log = logging.getLogger(__name__)

#: A line outlives the last backup that could hold its person by this much.
SLACK = timedelta(days=7)
ERASED, LEFT, REFUSED, RESTRICTED, UNRESTRICTED = "erased", "left", "refused", "restricted", "unrestricted"
SUPPRESSED, BANNED, LIFTED = "suppressed", "banned", "lifted"
MOVED, REQUESTED = "moved", "requested"
ACCOUNT_CLOSED, ACCOUNT_OPENED, ACCOUNT_CLEARED = "account_closed", "account_opened", "account_cleared"
TOKEN_REVOKED = "token_revoked"  # noqa: S105 - the name of an act
_BEFORE, _AFTER = "journal_before", "journal_after"


@dataclass(frozen=True, slots=True)
class Line:
    """One act, of one person or one address."""

    at: datetime
    #: The keyed hash of the address; of staff and programs what the audit log calls them, as "staff:7".
    hash: str
    act: str = ERASED
    #: The number of the person, account or token; None where an address is meant that need not be anybody's.
    id: int | None = None
    since: datetime | None = None
    #: What else it takes to do it again: a list, a method, a reason, a scope.
    told: dict[str, Any] = field(default_factory=dict)


def note(lines: Iterable[Line]) -> None:
    """Append lines; they are on the disk when this returns."""
    if text := "".join(_written(line) for line in lines):
        with _alone() as path:
            _append(path, text)


def note_with_commit(line: Line) -> None:
    """Append a line right before this transaction commits, and not at all if it does not."""
    db.session.info.setdefault(_BEFORE, []).append(line)


def note_after_commit(line: Line) -> None:
    """Append a line right after this transaction has been committed."""
    db.session.info.setdefault(_AFTER, []).append(line)


def read() -> Iterator[Line]:
    """Return every line, oldest first; the stump of a write cut short is left out."""
    yield from _read(settings().journal_path)


def erasures() -> list[Line]:
    """Return who was erased."""
    return [line for line in read() if line.act == ERASED]


def take_in(path: Path) -> int:
    """Add the lines of another machine's journal that are not here yet; return how many."""
    known = {_written(line) for line in read()}
    fresh = [line for line in _read(path) if _written(line) not in known]
    note(fresh)
    return len(fresh)


def forget_old(now: datetime) -> int:
    """Drop the lines that no backup can need any more and return how many."""
    oldest = now - timedelta(days=settings().keep_backups_days) - SLACK
    with _alone() as path:  # what is appended meanwhile would be lost with the old file
        lines = list(_read(path))
        kept = [line for line in lines if line.at >= oldest]
        if len(kept) < len(lines):
            _replace(path, "".join(_written(line) for line in kept))
    return len(lines) - len(kept)


@event.listens_for(Session, "before_commit")
def _note_before(session: AnySession) -> None:
    if lines := session.info.get(_BEFORE):
        session.flush()  # what cannot be written to the database is not written here either
        session.info[_BEFORE] = []
        _note_or_complain(lines)


@event.listens_for(Session, "after_commit")
def _note_after(session: AnySession) -> None:
    if not session.in_nested_transaction() and (lines := session.info.pop(_AFTER, None)):
        _note_or_complain(lines)


@event.listens_for(Session, "after_rollback")
def _forget(session: AnySession) -> None:
    if session.in_nested_transaction():
        return  # a savepoint was given up, and what came before it still stands
    session.info.pop(_BEFORE, None)
    session.info.pop(_AFTER, None)


def _note_or_complain(lines: list[Line]) -> None:
    # Nobody is kept on a list because this disk is full; an erasure does wait, see ``note``.
    try:
        note(lines)
    except OSError:
        log.exception("journal not written", extra={"lines": len(lines)})


@contextmanager
def _alone() -> Iterator[Path]:
    path = settings().journal_path
    with path.with_name(f"{path.name}.lock").open("ab") as lock:
        fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
        yield path


def _append(path: Path, text: str) -> None:
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            text = "\n" + text  # a write was cut short here: a stump must not spoil the next line
        left = text.encode()
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        _flush_folder(path.parent)


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Iterator[Line]:
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in file:
            try:
                yield _line(json.loads(text))
            except (ValueError, KeyError, TypeError):
                continue


def _line(found: dict[str, Any]) -> Line:
    since = found.get("since")
    return Line(
        datetime.fromisoformat(found["at"]),
        str(found["hash"]),
        str(found.get("act", ERASED)),  # lines once told of erasures alone
        None if found.get("id") is None else int(found["id"]),
        datetime.fromisoformat(since) if since else None,
        dict(found.get("told") or {}),
    )


def _written(line: Line) -> str:
    whole: dict[str, Any] = {
        "at": line.at.isoformat(),
        "act": line.act,
        "hash": line.hash,
        "id": line.id,
        "since": line.since.isoformat() if line.since else None,
        "told": line.told,
    }
    return json.dumps({name: value for name, value in whole.items() if value}, separators=(",", ":")) + "\n"
