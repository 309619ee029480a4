"""Fetching what has come: a Maildir folder and an IMAP mailbox, both emptied as they are read.

A message is removed after what it says has been committed, so one that was read and not removed is
read again, which changes nothing. Give the program a mailbox of its own.
"""

import imaplib
import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from newsletter.bounces.receive import take_in
from newsletter.bounces.reputation_guard import stop_if_needed
from newsletter.config import Settings, current_settings
from newsletter.db import db
from newsletter.db.leases import try_job_lock

log = logging.getLogger(__name__)

#: Messages taken in by one transaction.
BATCH = 50
#: An IMAP server far away: so many messages in one visit.
_VISIT = 2000
_TIMEOUT = 60.0


def fetch(now: datetime) -> int:
    """Take in all that waits where the settings say, and return how many messages. Commits."""
    chosen = current_settings()
    if not (chosen.bounce_maildir or chosen.bounce_imap_server):
        return 0
    with try_job_lock("bounces") as mine:
        if not mine:
            return 0
        taken = 0
        try:
            if chosen.bounce_maildir:
                taken = fetch_maildir(Path(chosen.bounce_maildir), now)
        finally:
            if chosen.bounce_imap_server:
                taken += _fetch_imap(chosen, now)
    if taken:
        stop_if_needed(now)
    return taken


def fetch_maildir(folder: Path, now: datetime) -> int:
    """Empty a Maildir and return how many messages it had. Commits in batches.

    A message that cannot be read stays; its OSError is raised when all others have been taken in.
    """
    taken = 0
    unreadable: OSError | None = None
    paths = sorted(path for part in ("new", "cur") for path in (folder / part).glob("*") if path.is_file())
    for start in range(0, len(paths), BATCH):
        read = []
        for path in paths[start : start + BATCH]:
            try:
                message = path.read_bytes()
            except OSError as error:
                unreadable = error
                continue
            take_in(message, source="maildir", now=now)
            read.append(path)
        db.session.commit()
        for path in read:
            path.unlink(missing_ok=True)
        taken += len(read)
    if unreadable is not None:
        raise unreadable
    return taken


def _fetch_imap(chosen: Settings, now: datetime) -> int:
    """Empty an IMAP folder and return how many messages it had; a server that is away is tried again."""
    try:
        with _connected(chosen) as server:
            return _empty(server, now)
    except (OSError, imaplib.IMAP4.error) as error:
        # Its own words may name the account.
        log.warning("mailbox of bounces not read", extra={"error": type(error).__name__})
        db.session.rollback()
        return 0


@contextmanager
def _connected(chosen: Settings) -> Iterator[imaplib.IMAP4]:
    host, port = chosen.bounce_imap_server, chosen.bounce_imap_port
    if chosen.bounce_imap_use_ssl:
        context = ssl.create_default_context()
        server: imaplib.IMAP4 = imaplib.IMAP4_SSL(host, port, ssl_context=context, timeout=_TIMEOUT)
    else:
        server = imaplib.IMAP4(host, port, timeout=_TIMEOUT)
    try:
        server.login(chosen.bounce_imap_username, chosen.bounce_imap_password)
        _require(server.select(f'"{chosen.bounce_imap_folder}"'))
        yield server
        with suppress(OSError, imaplib.IMAP4.error):
            server.logout()  # what had to be done is done
    finally:
        with suppress(OSError):
            server.shutdown()


def _empty(server: imaplib.IMAP4, now: datetime) -> int:
    (found,) = _require(server.uid("SEARCH", "UNDELETED"))
    numbers = (found or b"").split()[:_VISIT]
    for start in range(0, len(numbers), BATCH):
        batch = [number.decode("ascii") for number in numbers[start : start + BATCH]]
        for number in batch:
            # PEEK: a message that is read and not removed stays new.
            for part in _require(server.uid("FETCH", number, "(BODY.PEEK[])")):
                if isinstance(part, tuple):
                    take_in(part[1], source="imap", now=now)
        db.session.commit()
        _require(server.uid("STORE", ",".join(batch), "+FLAGS.SILENT", r"(\Deleted)"))
        _require(server.expunge())
    return len(numbers)


def _require(answer: tuple[str, list[Any]]) -> list[Any]:
    status, data = answer
    if status != "OK":
        raise imaplib.IMAP4.error(status)
    return data
