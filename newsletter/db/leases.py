"""Leases: who holds a row, and how a dead holder is noticed.

A worker holds rows under its name until a moment. A sweep takes back what is held past that moment;
what a process of this same machine held is taken back as soon as the process is gone. Work that only
one process may do at all is held by name, for as long as that process lives.
"""

import fcntl
import hashlib
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from newsletter.config import settings
from newsletter.db import db, is_sqlite

#: Longer than the slowest SMTP dialogue (RFC 5321, 4.5.3.2: ten minutes for the answer to the final dot).
LEASE = timedelta(minutes=20)


def owner() -> str:
    """Return this process's name: host, pid and start, so that a reused pid is another owner."""
    return _named(os.getpid())


def dead_owners(names: Iterable[str]) -> list[str]:
    """Return those of the names that belonged to processes of this machine that are gone."""
    return [name for name in names if _is_dead(name)]


@contextmanager
def alone(work: str) -> Iterator[bool]:
    """Hold a piece of work, such as "purge"; yields False, at once, when somebody else holds it.

    Let go at the end of the block or of the process, however it ends: among the processes of one
    machine with SQLite, among all machines with PostgreSQL.
    """
    if is_sqlite():
        with (settings().instance_path / f"{work}.lock").open("ab") as file:
            yield _lock(file.fileno())
        return
    key = int.from_bytes(hashlib.sha256(work.encode()).digest()[:7])
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        mine = bool(connection.scalar(sa.select(sa.func.pg_try_advisory_lock(key))))
        try:
            yield mine
        finally:
            if mine:
                connection.execute(sa.select(sa.func.pg_advisory_unlock(key)))


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def earlier_boots(names: Iterable[str]) -> list[str]:
    """Return those of the names that are not of this machine since it was started, whatever it was called.

    A container made anew on it has another name: what the one before wrote is still there.
    """
    return [name for name in names if _boot(name.rsplit(":", 2)[0]) != _boot(_host())]


@cache
def _named(pid: int) -> str:
    return f"{_host()}:{pid}:{_started(pid)}"


def _is_dead(name: str) -> bool:
    host, pid, started = name.rsplit(":", 2)
    return host == _host() and _started(int(pid)) != started


@cache
def _host() -> str:
    name = socket.gethostname()
    # A restarted machine or container keeps its name and counts its processes anew.
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        return f"{name}-{boot[:8]}"
    return name


def _boot(host: str) -> str:
    return host.rpartition("-")[2]


def _started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; "" when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return _started_without_proc(pid)
    # The second field is the program's name in brackets and may hold spaces.
    return stat.rpartition(")")[2].split()[19]


def _started_without_proc(pid: int) -> str:
    if Path("/proc/self").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "running"
