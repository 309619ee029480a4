import os
import socket
import subprocess

import pytest

from newsletter.db.leases import _start_ticks, dead_owners, owner


@pytest.fixture
def other_process():
    """Another process of this machine, and the name under which it would hold rows."""
    with subprocess.Popen(["sleep", "60"]) as process:
        host = owner().rsplit(":", 2)[0]
        yield process, f"{host}:{process.pid}:{_start_ticks(process.pid)}"
        process.kill()


def test_a_process_keeps_its_name():
    assert owner() == owner()


def test_a_name_says_where_which_and_since_when():
    host, pid, started = owner().rsplit(":", 2)

    assert host.startswith(socket.gethostname())
    assert int(pid) == os.getpid()
    assert started.isdigit()


def test_we_are_alive():
    assert dead_owners([owner()]) == []


def test_a_process_is_dead_once_it_is_gone(other_process):
    process, name = other_process
    assert dead_owners([name]) == []

    process.kill()
    process.wait()

    assert dead_owners([name]) == [name]


def test_whoever_got_the_number_of_a_dead_process_is_somebody_else():
    host, pid, started = owner().rsplit(":", 2)
    earlier = f"{host}:{pid}:{int(started) - 1}"

    assert dead_owners([earlier]) == [earlier]


def test_nobody_can_tell_from_here_about_another_machine():
    assert dead_owners(["elsewhere-0a1b2c3d:999999:1"]) == []


def test_this_machine_before_its_last_boot_is_another_machine():
    boot = owner().rsplit(":", 2)[0]

    assert dead_owners([f"{boot[:-1]}x:999999:1"]) == []


def test_only_the_dead_are_named():
    host, pid, _started = owner().rsplit(":", 2)

    assert dead_owners([owner(), f"{host}:{pid}:1", "elsewhere:1:1"]) == [f"{host}:{pid}:1"]
