"""The restore journal: an append-only file outside the database, replayed after a backup is restored.

It records erasures, unsubscribing, refused tracking, objections, suppressions, restrictions, changes of
address, rights requests, and ended staff access since the backup. An entry is one JSON line with the keyed
hash of the address, the subscriber id and since when we knew the person; never the address. It is fsynced
before the database commits the act, and deleted when no backup is older than it.

What withdraws such an act, as lifting an objection, is written only after its commit: if the process is
killed between the two, a restore is stricter than the person wanted, never laxer.
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

from newsletter.config import current_settings
from newsletter.db import Session, db

log = logging.getLogger(__name__)

#: An entry is kept this much longer than the last backup that could hold its person.
BACKUP_MARGIN = timedelta(days=7)
ERASED, LEFT, REFUSED, RESTRICTED, UNRESTRICTED = "erased", "left", "refused", "restricted", "unrestricted"
SUPPRESSED, BANNED, LIFTED = "suppressed", "banned", "lifted"
MOVED, REQUESTED = "moved", "requested"
ACCOUNT_CLOSED, ACCOUNT_OPENED, ACCOUNT_CLEARED = "account_closed", "account_opened", "account_cleared"
TOKEN_REVOKED = "token_revoked"  # noqa: S105 - the name of an act
_BEFORE, _AFTER = "journal_before", "journal_after"


@dataclass(frozen=True, slots=True)
class JournalEntry:
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


def append(lines: Iterable[JournalEntry]) -> None:
    """Append entries and fsync them. Raises OSError when they cannot be written."""
    if text := "".join(_serialize(line) for line in lines):
        with _locked() as path:
            _append_text(path, text)


def append_before_commit(line: JournalEntry) -> None:
    """Append an entry just before this transaction commits; not at all after a rollback."""
    db.session.info.setdefault(_BEFORE, []).append(line)


def append_after_commit(line: JournalEntry) -> None:
    """Append an entry just after this transaction has been committed."""
    db.session.info.setdefault(_AFTER, []).append(line)


def read() -> Iterator[JournalEntry]:
    """Yield every entry, oldest first; an incomplete line of a write cut short is skipped."""
    yield from _read(current_settings().journal_path)


def erasures() -> list[JournalEntry]:
    """Return the entries of erasures."""
    return [line for line in read() if line.act == ERASED]


def merge_file(path: Path) -> int:
    """Append the entries of another machine's journal that are missing here; return how many."""
    known = {_serialize(line) for line in read()}
    fresh = [line for line in _read(path) if _serialize(line) not in known]
    append(fresh)
    return len(fresh)


def delete_expired(now: datetime) -> int:
    """Delete the entries that no backup can need any more and return how many."""
    oldest = now - timedelta(days=current_settings().keep_backups_days) - BACKUP_MARGIN
    with _locked() as path:  # what is appended meanwhile would be lost with the old file
        lines = list(_read(path))
        kept = [line for line in lines if line.at >= oldest]
        if len(kept) < len(lines):
            _replace_file(path, "".join(_serialize(line) for line in kept))
    return len(lines) - len(kept)


@event.listens_for(Session, "before_commit")
def _write_before_commit(session: AnySession) -> None:
    if lines := session.info.get(_BEFORE):
        session.flush()  # what cannot be written to the database is not written here either
        session.info[_BEFORE] = []
        _append_or_log(lines)


@event.listens_for(Session, "after_commit")
def _write_after_commit(session: AnySession) -> None:
    if not session.in_nested_transaction() and (lines := session.info.pop(_AFTER, None)):
        _append_or_log(lines)


@event.listens_for(Session, "after_rollback")
def _discard_pending(session: AnySession) -> None:
    if session.in_nested_transaction():
        return  # a savepoint was given up, and what came before it still stands
    session.info.pop(_BEFORE, None)
    session.info.pop(_AFTER, None)


def _append_or_log(lines: list[JournalEntry]) -> None:
    # Nobody is kept on a list because this disk is full; an erasure does fail, see ``append``.
    try:
        append(lines)
    except OSError:
        log.exception("journal not written", extra={"lines": len(lines)})


@contextmanager
def _locked() -> Iterator[Path]:
    path = current_settings().journal_path
    with path.with_name(f"{path.name}.lock").open("ab") as lock:
        fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
        yield path


def _append_text(path: Path, text: str) -> None:
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            text = "\n" + text  # a write was cut short here: its rest must not spoil the next line
        left = text.encode()
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        _fsync_folder(path.parent)


def _replace_file(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    _fsync_folder(path.parent)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Iterator[JournalEntry]:
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in file:
            try:
                yield _parse_entry(json.loads(text))
            except (ValueError, KeyError, TypeError):
                continue


def _parse_entry(found: dict[str, Any]) -> JournalEntry:
    since = found.get("since")
    return JournalEntry(
        datetime.fromisoformat(found["at"]),
        str(found["hash"]),
        str(found.get("act", ERASED)),  # lines once told of erasures alone
        None if found.get("id") is None else int(found["id"]),
        datetime.fromisoformat(since) if since else None,
        dict(found.get("told") or {}),
    )


def _serialize(line: JournalEntry) -> str:
    whole: dict[str, Any] = {
        "at": line.at.isoformat(),
        "act": line.act,
        "hash": line.hash,
        "id": line.id,
        "since": line.since.isoformat() if line.since else None,
        "told": line.told,
    }
    return json.dumps({name: value for name, value in whole.items() if value}, separators=(",", ":")) + "\n"
