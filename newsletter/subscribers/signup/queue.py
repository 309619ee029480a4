"""The intake: a signup is on the disk before it is answered, and in the database a moment later.

Whatever an address is to us, its signup is checked, counted, written to this process's spool file
and flushed. That is all an answer waits for, so its time tells nothing of the address (SU-6), and
the database may be away meanwhile. The loader writes the rows of many at a time.
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
from newsletter.subscribers.signup.request import Request, SignupForm, accept
from newsletter.subscribers.signup.store import store
from newsletter.wakeups import wake_unless_pending

log = logging.getLogger(__name__)

SUFFIX = ".signups"
#: A file is closed after this long, so that a loaded one can be removed.
ROTATE_SECONDS = 30.0
#: Bytes stored in one transaction: a hundred signups or so, and nobody waits long for the lock.
STEP = 64_000
#: How long it may be believed that a loader runs.
_LOOK_AGAIN_SECONDS = 5.0


class IntakeClosed(Unavailable):
    """A signup could not be written down, so it was not taken in."""

    message = N_("Your subscription could not be saved just now. Try again in a moment.")


class HeldUp(Unavailable):
    """The breaker is open, and the form came without a proof of work."""

    message = N_("Very many requests right now. Try again later, or use the form.")


def init_app(app: Flask) -> None:
    """Give this process its intake."""
    app.extensions["newsletter.intake"] = Intake(folder_of(app.config["NEWSLETTER"].instance_path))


def folder_of(instance: Path) -> Path:
    """Return where signups wait for their rows."""
    return instance / "intake"


def take_in(
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
    no further. Raises TooManyRequests for a visitor who sends too many, HeldUp and IntakeClosed.
    Commits only the breaker's alert.
    """
    request = None
    with limiter.batch_writes():
        _count_visitor(visit.ip)
        if is_trapped:
            return
        if circuit_breaker.holds(now):
            request = accept(form, now=now, visit=visit, method=method)
    if request is None:
        db.session.commit()  # the alert, where this was the one too many
        if not proof_of_work.is_solved(solution, now=now):
            raise HeldUp
        request = accept(form, now=now, visit=visit, method=method)
    _keep(request)


def load() -> int:
    """Store what this machine has taken in and return how many signups that was. Commits in steps."""
    return log_loader.load(folder_of(current_settings().instance_path), SUFFIX, step=STEP, store=_store_lines)


def waiting(instance: Path) -> int:
    """Return how many signups of this machine have no rows yet."""
    files = folder_of(instance).glob(f"*{SUFFIX}")
    return sum(len(list(filter(None, path.read_bytes().splitlines()))) for path in files)


@contextmanager
def loading(instance: Path) -> Iterator[None]:
    """Tell the processes that serve pages that a loader runs, until it ends, however it ends."""
    folder = folder_of(instance)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "loader.alive").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


class Intake:
    """This process's file. Opened at the first signup, in whichever process that is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        #: Held while a line is written, and while the file is changed for another.
        self._writing = threading.Lock()
        #: Held while the disk is waited for: who comes meanwhile writes, and shares the next flush.
        self._flushing = threading.Lock()
        self._file: int | None = None
        self._opened = 0.0
        self._written = self._flushed = 0
        self._looked = float("-inf")

    def keep(self, request: Request) -> None:
        """Return when a request is on the disk; raise IntakeClosed when it cannot be."""
        line = _line(request)
        try:
            with self._writing:
                self._write(line)
                mine = self._written
            self._flush(mine)
        except OSError as error:
            log.exception("signup not taken in")
            raise IntakeClosed from error
        if not self._somebody_loads():
            wake_unless_pending("signups")

    def close(self) -> None:
        """Let go of the file, so that the loader can remove it."""
        with self._writing, self._flushing:
            file, self._file = self._file, None
            self._flushed = self._written
            self._looked = float("-inf")
            if file is not None:
                try:
                    os.fdatasync(file)
                finally:
                    os.close(file)

    def _write(self, line: bytes) -> None:
        if self._file is None or time.monotonic() - self._opened > ROTATE_SECONDS:
            self._change_file()
        assert self._file is not None  # noqa: S101 - opened a line above
        written = os.write(self._file, line)
        if written < len(line):  # the disk is full: no line may grow onto the stump
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError("no room for a signup")
        self._written += 1

    def _change_file(self) -> None:
        fresh = log_loader.create_log_file(self._folder, SUFFIX)
        with self._flushing:
            before, self._file, self._opened = self._file, fresh, time.monotonic()
            if before is not None:
                os.fdatasync(before)
                os.close(before)
            self._flushed = self._written
        _flush_folder(self._folder)  # a file that is not in its folder after a power cut is lost

    def _flush(self, mine: int) -> None:
        with self._flushing:
            if self._flushed < mine and self._file is not None:
                reached = self._written
                os.fdatasync(self._file)
                self._flushed = reached

    def _somebody_loads(self) -> bool:
        """Tell whether a loader of this machine runs, as far as has been seen of late."""
        if time.monotonic() - self._looked < _LOOK_AGAIN_SECONDS:
            return True
        with suppress(OSError), (self._folder / "loader.alive").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._looked = time.monotonic()
                return True
        return False


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _keep(request: Request) -> None:
    intake: Intake = current_app.extensions["newsletter.intake"]
    try:
        intake.keep(request)
    except IntakeClosed:
        # Who is told to try again must get a mail then.
        mail_quota.give_back(hash_address(request.form.address.key), request.allowed)
        raise


def _count_visitor(ip: str) -> None:
    """Count the form and the API together; a form with a fault counts for nothing."""
    limiter.enforce(current_settings().signup_limit_ip, "signup", limiter.client_key_of(ip))


def _line(request: Request) -> bytes:
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
    requests = list(_requests(data))
    if requests:
        store(requests)
    return len(requests)


def _requests(data: bytes) -> Iterator[Request]:
    for line in filter(None, data.splitlines()):
        try:
            yield _read(line)
        except (ValueError, TypeError, AttributeError):
            log.exception("unreadable signup")  # it must not hold up those behind it


def _read(line: bytes) -> Request:
    at, method, address, list_ids, allowed, language, browser_hash, ip, agent, url, words, more, *later = (
        json.loads(line)
    )
    return Request(
        form=SignupForm(
            address=Address(address, address.casefold()),
            list_ids=list_ids,
            language=language,
            wants_tracking=more is not None,
            refuses_tracking=later == [True],  # written by a program before this one it is not there
            browser_hash=browser_hash,
        ),
        at=datetime.fromisoformat(at),
        visit=Visit(ip=ip, user_agent=_plain(agent), form_url=_plain(url)),
        method=method,
        allowed=allowed,
        wording=words,
        tracking_wording=more,
    )


def _plain(text: Any) -> Any:  # noqa: ANN401 - a text or None
    # PostgreSQL takes no NUL; one such line would hold all others up.
    return text.replace("\0", "") if text else text
