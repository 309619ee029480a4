"""A campaign of a benchmark: the people it goes to, and what its workers take."""

import os
import random
import resource
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL

from benchmarks.send_signing import dkim_keys
from newsletter import create_app
from newsletter.campaigns.drafts import create_campaign
from newsletter.config import PREFIX, Settings
from newsletter.db import db, table_of
from newsletter.running import migrations
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.sending.models import Delivery
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.models import (
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    TrackingState,
)

ROOT = Path(__file__).parent.parent
PIECE = 10_000


@dataclass(frozen=True, slots=True)
class Sent:
    """What one turn of the worker took."""

    rate: float
    worker_cpu: float
    database_cpu: float
    peak_mb: float


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
        self._keys = dkim_keys(dkim)
        self.connections, self._processes, self._start_cpu = connections, processes, 0.0
        self._app = create_app(Settings.load(self._environ()))

    def prepare(self, recipients: int) -> None:
        """Make the tables, a list, and people on it who allow measuring."""
        with self._app.app_context():
            migrations.upgrade()
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
        from newsletter.sending.worker.deliver import _personalizers  # noqa: PLC0415 - for the size alone

        campaign_id = self.start()
        with self._app.app_context():
            (filler,) = _personalizers(campaign_id).values()
            size = len(filler.render(1, "lukija1@posti1.example", 1, is_measured=True, now=datetime.now(UTC)))
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
