"""Leases: who holds a row, and how a dead holder is noticed.

A worker holds rows under its name until a moment. A sweep takes back what is held past that moment;
what a process of this same machine held is taken back as soon as the process is gone.
"""

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path

#: Longer than the slowest SMTP dialogue (RFC 5321, 4.5.3.2: ten minutes for the answer to the final dot).
LEASE = timedelta(minutes=20)


def owner() -> str:
    """Return this process's name: host, pid and start, so that a reused pid is another owner."""
    pid = os.getpid()
    return f"{_host()}:{pid}:{_started(pid)}"


def dead_owners(names: Iterable[str]) -> list[str]:
    """Return those of the names that belonged to processes of this machine that are gone."""
    return [name for name in names if _is_dead(name)]


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
