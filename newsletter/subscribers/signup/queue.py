"""Signup queue: a signup is on disk before it is answered, and in the database a moment later.

Whatever the state of the address, its signup is validated, counted, appended to this process's log
file and synced to disk. The response waits for nothing else, so its time reveals nothing about the address
(SU-6), and the database may be unavailable meanwhile. The loader stores many signups in one transaction.
"""

import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from flask import Flask, current_app

from newsletter.config import current_settings
from newsletter.db import db
from newsletter.durable import log_loader
from newsletter.errors import N_, Unavailable
from newsletter.ratelimit import limiter
from newsletter.subscribers.abuse import circuit_breaker, proof_of_work
from newsletter.subscribers.addresses import Address, hash_address
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.signup import mail_quota
from newsletter.subscribers.signup.mail_quota import Room
from newsletter.subscribers.signup.request import AcceptedSignup, SignupForm, accept_signup
from newsletter.subscribers.signup.store import store_signups
from newsletter.wakeups import wake_unless_pending

log = logging.getLogger(__name__)

FILE_SUFFIX = ".signups"
#: A file is rotated after this long, so that a loaded one can be removed.
ROTATE_SECONDS = 30.0
#: Bytes stored in one transaction: about a hundred signups, which keeps the lock short.
STEP_BYTES = 64_000
#: How long the last check whether a loader runs is trusted.
_LOADER_CHECK_SECONDS = 5.0


class IntakeClosed(Unavailable):
    """The signup could not be written to disk and was not accepted."""

    message = N_("Your subscription could not be saved just now. Try again in a moment.")


class HeldUp(Unavailable):
    """The breaker is open or the domain is crowded, and the form came without a proof of work."""

    message = N_("Very many requests right now. Try again later, or use the form.")

    def __init__(self, seconds: int) -> None:
        #: For how long a proof of work will be asked for, as far as anyone knows.
        self.seconds = seconds
        super().__init__()


class DomainFull(Unavailable):
    """No confirmation mail to this domain could go within a day, so the signup was not taken in."""

    message = N_(
        "So many people have just subscribed with your mail provider that we cannot send you a mail today."
        " Nothing was saved. Try again tomorrow, or use another address."
    )


def init_app(app: Flask) -> None:
    """Create the queue of this process."""
    app.extensions["newsletter.intake"] = SignupQueue(queue_folder(app.config["NEWSLETTER"].instance_path))


def queue_folder(instance: Path) -> Path:
    """Return the folder of the queue's log files."""
    return instance / "intake"


def enqueue_signup(
    form: SignupForm,
    *,
    now: datetime,
    visit: Visit,
    method: str = "form",
    solution: str = "",
    is_trapped: bool = False,
) -> None:
    """Let a form in and write it down.

    ``solution`` is what its form sent as ``altcha``. What is trapped counts for its visitor and goes
    no further. Raises TooManyRequests for a visitor who sends too many, HeldUp, DomainFull and
    IntakeClosed. Commits only what tells the staff.
    """
    request = None
    with limiter.batch_writes():
        _enforce_client_limit(visit.ip)
        if is_trapped:
            return
        room = mail_quota.room_at_domain(form.address, visit.ip)
        if circuit_breaker.allow_signup(now) and room is Room.FREE:
            request = accept_signup(form, now=now, visit=visit, method=method)
    if request is None:
        if room is Room.FULL:
            mail_quota.note_limit(form.address, now)
        db.session.commit()  # the audit entry, if this signup opened the breaker
        if room is Room.FULL:
            raise DomainFull
        if not proof_of_work.redeem_solution(solution, now=now):
            raise HeldUp(_seconds_held_up(form.address, visit.ip, now))
        request = accept_signup(form, now=now, visit=visit, method=method)
    _append_or_release(request)


def load_queued() -> int:
    """Store the queued signups of this machine; return how many. Commits in steps."""
    return log_loader.load(
        queue_folder(current_settings().instance_path), FILE_SUFFIX, step=STEP_BYTES, store=_store_lines
    )


def count_queued(instance: Path) -> int:
    """Return how many signups of this machine are queued."""
    files = queue_folder(instance).glob(f"*{FILE_SUFFIX}")
    return sum(len(list(filter(None, path.read_bytes().splitlines()))) for path in files)


@contextmanager
def loader_running(instance: Path) -> Iterator[None]:
    """Hold a shared lock that tells web processes that a loader runs; released when the process ends."""
    folder = queue_folder(instance)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "loader.alive").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


class SignupQueue:
    """The log file of this process. Opened at the first signup, after any fork. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        #: Held while a line is written, and while the file is rotated.
        self._writing = threading.Lock()
        #: Held during fdatasync: threads that write meanwhile share the next one (group commit).
        self._flushing = threading.Lock()
        self._file: int | None = None
        self._opened = 0.0
        self._written = self._flushed = 0
        self._loader_seen_at = float("-inf")

    def append(self, request: AcceptedSignup) -> None:
        """Append a signup and return when it is on disk; raise IntakeClosed on an I/O error."""
        line = _serialize(request)
        try:
            with self._writing:
                self._write(line)
                mine = self._written
            self._flush(mine)
        except OSError as error:
            log.exception("signup not taken in")
            raise IntakeClosed from error
        if not self._is_loader_running():
            wake_unless_pending("signups")

    def close(self) -> None:
        """Sync and close the file, so that the loader can remove it."""
        with self._writing, self._flushing:
            file, self._file = self._file, None
            self._flushed = self._written
            self._loader_seen_at = float("-inf")
            if file is not None:
                try:
                    os.fdatasync(file)
                finally:
                    os.close(file)

    def _write(self, line: bytes) -> None:
        if self._file is None or time.monotonic() - self._opened > ROTATE_SECONDS:
            self._rotate()
        assert self._file is not None  # noqa: S101 - opened a line above
        written = os.write(self._file, line)
        if written < len(line):  # disk full: remove the partial line
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError("no room for a signup")
        self._written += 1

    def _rotate(self) -> None:
        fresh = log_loader.create_log_file(self._folder, FILE_SUFFIX)
        with self._flushing:
            before, self._file, self._opened = self._file, fresh, time.monotonic()
            if before is not None:
                os.fdatasync(before)
                os.close(before)
            self._flushed = self._written
        _fsync_folder(self._folder)  # the directory entry must survive a power cut, too

    def _flush(self, mine: int) -> None:
        with self._flushing:
            if self._flushed < mine and self._file is not None:
                reached = self._written
                os.fdatasync(self._file)
                self._flushed = reached

    def _is_loader_running(self) -> bool:
        """Return whether a loader of this machine runs; a positive result is cached briefly."""
        if time.monotonic() - self._loader_seen_at < _LOADER_CHECK_SECONDS:
            return True
        with suppress(OSError), (self._folder / "loader.alive").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._loader_seen_at = time.monotonic()
                return True
        return False


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _append_or_release(request: AcceptedSignup) -> None:
    intake: SignupQueue = current_app.extensions["newsletter.intake"]
    try:
        intake.append(request)
    except IntakeClosed:
        # The person is told to try again, and must get a mail then.
        mail_quota.release(hash_address(request.form.address.key), request.allowed)
        raise


def _enforce_client_limit(ip: str) -> None:
    """Enforce SIGNUP_LIMIT_IP for form and API together; invalid forms are not counted."""
    limiter.enforce(current_settings().signup_limit_ip, "signup", limiter.client_key_of(ip))


def _seconds_held_up(address: Address, ip: str, now: datetime) -> int:
    breaker = circuit_breaker.retry_after_seconds(now) if circuit_breaker.is_open() else 1
    return max(breaker, mail_quota.seconds_until_calm(address, ip))


def _serialize(request: AcceptedSignup) -> bytes:
    form, visit = request.form, request.visit
    values = [
        request.at.isoformat(),
        request.method,
        form.address.text,
        list(form.list_ids),
        list(request.allowed),
        form.language,
        form.browser_hash,
        visit.ip,
        visit.user_agent,
        visit.form_url,
        request.wording,
        request.tracking_wording,
        form.refuses_tracking,
    ]
    return json.dumps(values, separators=(",", ":")).encode("ascii") + b"\n"


def _store_lines(data: bytes) -> int:
    requests = list(_parse_lines(data))
    if requests:
        store_signups(requests)
    return len(requests)


def _parse_lines(data: bytes) -> Iterator[AcceptedSignup]:
    for line in filter(None, data.splitlines()):
        try:
            yield _deserialize(line)
        except (ValueError, TypeError, AttributeError):
            log.exception("unreadable signup")  # it must not block the lines after it


def _deserialize(line: bytes) -> AcceptedSignup:
    at, method, address, list_ids, allowed, language, browser_hash, ip, agent, url, words, more, *later = (
        json.loads(line)
    )
    return AcceptedSignup(
        form=SignupForm(
            address=Address(address, address.casefold()),
            list_ids=list_ids,
            language=language,
            wants_tracking=more is not None,
            refuses_tracking=later == [True],  # written by a program before this one it is not there
            browser_hash=browser_hash,
        ),
        at=datetime.fromisoformat(at),
        visit=Visit(ip=ip, user_agent=_strip_nul(agent), form_url=_strip_nul(url)),
        method=method,
        allowed=allowed,
        wording=words,
        tracking_wording=more,
    )


def _strip_nul(text: Any) -> Any:  # noqa: ANN401 - a text or None
    # PostgreSQL rejects NUL; one such line would block all others.
    return text.replace("\0", "") if text else text
