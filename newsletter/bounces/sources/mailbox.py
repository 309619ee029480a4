"""Fetches reports from a Maildir and an IMAP folder, which it empties.

A message is removed after its effects are committed; one that was read but not removed is read again,
which changes nothing. The mailbox must be used for nothing else.
"""

import imaplib
import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from newsletter.bounces.receive import receive_message
from newsletter.bounces.reputation_guard import pause_if_needed
from newsletter.config import Settings, current_settings
from newsletter.db import db
from newsletter.db.leases import try_job_lock

log = logging.getLogger(__name__)

#: Messages received in one transaction.
BATCH_SIZE = 50
#: Maximum messages of one fetch from an IMAP server.
_MAX_MESSAGES_PER_FETCH = 2000
_TIMEOUT = 60.0


def fetch(now: datetime) -> int:
    """Fetch from the mailboxes in the settings, and return how many messages. Commits in batches."""
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
        pause_if_needed(now)
    return taken


def fetch_maildir(folder: Path, now: datetime) -> int:
    """Empty a Maildir and return how many messages it had. Commits in batches.

    A message that cannot be read stays; its OSError is raised when all others have been taken in.
    """
    taken = 0
    unreadable: OSError | None = None
    paths = sorted(path for part in ("new", "cur") for path in (folder / part).glob("*") if path.is_file())
    for start in range(0, len(paths), BATCH_SIZE):
        read = []
        for path in paths[start : start + BATCH_SIZE]:
            try:
                message = path.read_bytes()
            except OSError as error:
                unreadable = error
                continue
            receive_message(message, source="maildir", now=now)
            read.append(path)
        db.session.commit()
        for path in read:
            path.unlink(missing_ok=True)
        taken += len(read)
    if unreadable is not None:
        raise unreadable
    return taken


def _fetch_imap(chosen: Settings, now: datetime) -> int:
    """Empty an IMAP folder and return how many messages it had; 0 when the server is unavailable."""
    try:
        with _imap_session(chosen) as server:
            return _drain_folder(server, now)
    except (OSError, imaplib.IMAP4.error) as error:
        # The text of the error may name the account.
        log.warning("mailbox of bounces not read", extra={"error": type(error).__name__})
        db.session.rollback()
        return 0


@contextmanager
def _imap_session(chosen: Settings) -> Iterator[imaplib.IMAP4]:
    host, port = chosen.bounce_imap_server, chosen.bounce_imap_port
    if chosen.bounce_imap_use_ssl:
        context = ssl.create_default_context()
        server: imaplib.IMAP4 = imaplib.IMAP4_SSL(host, port, ssl_context=context, timeout=_TIMEOUT)
    else:
        server = imaplib.IMAP4(host, port, timeout=_TIMEOUT)
    try:
        server.login(chosen.bounce_imap_username, chosen.bounce_imap_password)
        _require_ok(server.select(f'"{chosen.bounce_imap_folder}"'))
        yield server
        with suppress(OSError, imaplib.IMAP4.error):
            server.logout()  # everything is committed
    finally:
        with suppress(OSError):
            server.shutdown()


def _drain_folder(server: imaplib.IMAP4, now: datetime) -> int:
    (found,) = _require_ok(server.uid("SEARCH", "UNDELETED"))
    numbers = (found or b"").split()[:_MAX_MESSAGES_PER_FETCH]
    for start in range(0, len(numbers), BATCH_SIZE):
        batch = [number.decode("ascii") for number in numbers[start : start + BATCH_SIZE]]
        for number in batch:
            # PEEK: a message that is read and not removed stays unseen.
            for part in _require_ok(server.uid("FETCH", number, "(BODY.PEEK[])")):
                if isinstance(part, tuple):
                    receive_message(part[1], source="imap", now=now)
        db.session.commit()
        _require_ok(server.uid("STORE", ",".join(batch), "+FLAGS.SILENT", r"(\Deleted)"))
        _require_ok(server.expunge())
    return len(numbers)


def _require_ok(answer: tuple[str, list[Any]]) -> list[Any]:
    status, data = answer
    if status != "OK":
        raise imaplib.IMAP4.error(status)
    return data
