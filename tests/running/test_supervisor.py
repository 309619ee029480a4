"""The program as a whole: it ends when told to, leaves nothing behind, and puts back what died."""

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from newsletter.running.supervisor import PortInUse, require_free_port
from tests.support.server import LiveServer


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in tasks.read_text(encoding="ascii").split()] if tasks.exists() else []


def family_of(pid: int) -> list[int]:
    """Return a process's children, and theirs."""
    return [member for child in children_of(pid) for member in (child, *family_of(child))]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def pid_of(server: LiveServer) -> int:
    assert server.process is not None
    return server.process.pid


def test_nothing_outlives_a_parent_that_was_killed(live_server):
    members = family_of(pid_of(live_server))

    live_server.process.kill()
    live_server.process.wait()
    wait_until(lambda: not any(is_alive(member) for member in members))

    assert len(members) > 3  # pages, loader, worker, and those that answer for the pages
    require_free_port("127.0.0.1", live_server.port)


def test_whoever_dies_is_replaced_and_ctrl_c_ends_all(live_server):
    pid = pid_of(live_server)
    first = children_of(pid)

    for child in first:
        os.kill(child, signal.SIGKILL)
    wait_until(lambda: len(set(children_of(pid)) - set(first)) == len(first))
    wait_until(live_server.is_ready)
    members = family_of(pid)
    live_server.process.send_signal(signal.SIGINT)
    code = live_server.process.wait(30)

    assert (code, len(first)) == (0, 3)
    assert [member for member in members if is_alive(member)] == []
    require_free_port("127.0.0.1", live_server.port)
    assert live_server.log.count("process died") == 3


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_in_use_is_refused(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(PortInUse) as refused:
            require_free_port(host, port)

    assert (
        str(refused.value)
        == f"Port {port} on {host} cannot be used: Address already in use. Choose another with --port."
    )


def test_run_refuses_a_port_in_use_before_it_touches_anything(make_app, tmp_path):
    app = make_app()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = app.test_cli_runner().invoke(args=["run", "--port", str(taken.getsockname()[1])])

    assert (answer.exit_code, answer.stdout) == (1, "")
    assert not (Path(app.instance_path) / "base_url").exists()
