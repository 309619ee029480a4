"""Leases on rows, how a dead lease owner is detected, and named locks for jobs.

A worker leases rows under its owner name until an instant. A sweep takes back expired leases, and those
of processes of this machine that are gone at once. A job that only one process may run takes a named
lock, held for as long as that process lives.
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

from newsletter.config import current_settings
from newsletter.db import db, is_sqlite

#: Longer than the slowest SMTP dialogue (RFC 5321, 4.5.3.2: ten minutes for the answer to the final dot).
LEASE_DURATION = timedelta(minutes=20)


def owner() -> str:
    """Return this process's owner name: host, pid and start time, so that a reused pid is another owner."""
    return _owner_of(os.getpid())


def dead_owners(names: Iterable[str]) -> list[str]:
    """Return the owner names of processes of this machine that no longer run."""
    return [name for name in names if _is_dead(name)]


@contextmanager
def try_job_lock(work: str) -> Iterator[bool]:
    """Try to take the named lock of a job, such as "purge"; yield at once whether it was taken.

    Released at the end of the block, or of the process. It excludes the processes of one machine with
    SQLite (flock), those of all machines with PostgreSQL (advisory lock).
    """
    if is_sqlite():
        with (current_settings().instance_path / f"{work}.lock").open("ab") as file:
            yield _try_flock(file.fileno())
        return
    key = int.from_bytes(hashlib.sha256(work.encode()).digest()[:7])
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        mine = bool(connection.scalar(sa.select(sa.func.pg_try_advisory_lock(key))))
        try:
            yield mine
        finally:
            if mine:
                connection.execute(sa.select(sa.func.pg_advisory_unlock(key)))


def _try_flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def owners_of_earlier_boots(names: Iterable[str]) -> list[str]:
    """Return the owner names that do not carry the kernel's current boot id, whatever the host was called.

    A new container on the same machine has another host name and shares the boot id.
    """
    return [name for name in names if _boot_id(name.rsplit(":", 2)[0]) != _boot_id(_host_id())]


@cache
def _owner_of(pid: int) -> str:
    return f"{_host_id()}:{pid}:{_start_ticks(pid)}"


def _is_dead(name: str) -> bool:
    host, pid, started = name.rsplit(":", 2)
    return host == _host_id() and _start_ticks(int(pid)) != started


@cache
def _host_id() -> str:
    name = socket.gethostname()
    # A restarted machine or container keeps its name and counts its processes anew.
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        return f"{name}-{boot[:8]}"
    return name


def _boot_id(host: str) -> str:
    return host.rpartition("-")[2]


def _start_ticks(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; "" when it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return _start_without_proc(pid)
    # The second field is the program's name in brackets and may hold spaces.
    return stat.rpartition(")")[2].split()[19]


def _start_without_proc(pid: int) -> str:
    if Path("/proc/self").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "running"
