"""The real program in processes of its own, with an instance folder of its own."""

import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import psutil  # type: ignore[import-untyped] # comes with PostgreSQL for tests; nobody else needs its types

from newsletter.config import PREFIX
from tests.support.mailbox import Mailbox

ROOT = Path(__file__).parents[2]
#: One address may sign up as often as it likes.
_OPEN = {"signup_limit_ip": "1000000/minute", "signup_limit_address": "1000000/minute"}
_READY_SECONDS = 60.0
_STOP_SECONDS = 40.0


class LiveServer:
    """``newsletter run`` (or ``web``) on a free port."""

    def __init__(self, instance: Path, command: str = "run", **settings: object) -> None:
        self.instance = instance
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = {
            "signup_limit_ip": "1000000/minute",
            "signup_limit_address": "1000000/minute",
            "signup_limit_domain": "1000000/minute",
            "signup_breaker": "1000000/minute",
        } | settings
        self._command = command
        self._log = instance.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def mailbox(self) -> Mailbox:
        """The mails it sent while no mail server was set."""
        return Mailbox(self.instance / "mailbox")

    @property
    def log(self) -> str:
        """What it printed and logged so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self._log.open("ab") as log:
            self.process = self._popen([self._command, "--port", str(self.port)], log)
        deadline = time.monotonic() + _READY_SECONDS
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"newsletter {self._command} did not get ready:\n{self.log}")
            time.sleep(0.05)

    def stop(self) -> int:
        """Ask it to end, and return how it ended."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def newsletter(self, *arguments: str) -> str:
        """Run a command beside it, as an operator would, and return what it printed."""
        command = [sys.executable, "-m", "newsletter", *arguments]
        with self._log.open("ab") as log:
            return subprocess.check_output(command, env=self._environ(), stderr=log, text=True, timeout=60)

    def start_beside(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command that goes on beside it, such as ``worker``; end it by its id."""
        with self._log.open("ab") as log:
            return self._popen(list(arguments), log)

    def is_ready(self) -> bool:
        """Ask ``/readyz``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()

    def _popen(self, arguments: list[str], log: IO[bytes]) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "newsletter", *arguments]
        return subprocess.Popen(command, env=self._environ(), stdout=log, stderr=log)

    def _environ(self) -> dict[str, str]:
        others = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
        ours: dict[str, object] = {"instance_path": self.instance} | self.settings
        if self._command != "run":  # that one remembers where it listens
            ours.setdefault("base_url", self.url)
        given = {PREFIX + name.upper(): str(value) for name, value in ours.items()}
        return others | {"PYTHONPATH": str(ROOT)} | given


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def kill_some(server: LiveServer, chance: random.Random) -> None:
    """Kill -9 some of the children of a server, or all."""
    assert server.process is not None
    children = psutil.Process(server.process.pid).children(recursive=True)
    for child in chance.sample(children, min(len(children), chance.choice([1, 1, 2, len(children)]))):
        try:
            os.kill(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
