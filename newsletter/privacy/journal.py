"""The journal of erasures: a file outside the database, so that a restored backup brings nobody back.

A line has the number of the person, since when we knew them, and the keyed hash of their address;
never the address. It is on the disk before the erasure begins, and is forgotten with the backups.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from newsletter.config import settings

#: A line outlives the last backup that could hold its person by this much.
SLACK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Line:
    """One person who was erased."""

    at: datetime
    id: int
    since: datetime
    hash: str


def note(lines: Iterable[Line]) -> None:
    """Append lines; they are on the disk when this returns."""
    text = "".join(json.dumps(_as_json(line), separators=(",", ":")) + "\n" for line in lines)
    if not text:
        return
    path = settings().journal_path
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read() -> Iterator[Line]:
    """Return every line, oldest first; the stump of a write cut short is left out."""
    path = settings().journal_path
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for text in file:
            try:
                found = json.loads(text)
                at, since = (datetime.fromisoformat(found[name]) for name in ("at", "since"))
                yield Line(at, int(found["id"]), since, str(found["hash"]))
            except (ValueError, KeyError, TypeError):
                continue


def forget_old(now: datetime) -> int:
    """Drop the lines that no backup can need any more and return how many."""
    oldest = now - timedelta(days=settings().keep_backups_days) - SLACK
    lines = list(read())
    kept = [line for line in lines if line.at >= oldest]
    if len(kept) == len(lines):
        return 0
    path = settings().journal_path
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(_as_json(line), separators=(",", ":")) + "\n" for line in kept)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return len(lines) - len(kept)


def _as_json(line: Line) -> dict[str, object]:
    return {
        "at": line.at.isoformat(),
        "id": line.id,
        "since": line.since.isoformat(),
        "hash": line.hash,
    }
