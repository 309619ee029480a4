"""Kill workers while they send, and count: nobody lost, nobody doubled, every doubt listed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from flask import Flask

from newsletter import create_app
from newsletter.campaigns.drafts import create_campaign
from newsletter.campaigns.models import Campaign, CampaignStatus, CampaignTotals
from newsletter.clock import utcnow
from newsletter.config import PREFIX, Settings
from newsletter.db import db, reading, table_of
from newsletter.running import schema
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.start import start_campaign
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.models import MailingList, Subscriber, Subscription, SubscriptionStatus
from newsletter.wakeups import queue, wake
from tests.support.apps import DEFAULTS
from tests.support.server import ROOT, free_port

#: Whoever was deferred is due again after so long at most: nobody wants to wait for four days.
HURRY_SECONDS = 0.2

#: The parent of ``newsletter run`` with workers only, and hurrying to replace one that died.
FAMILY = """
import sys
from functools import partial

from newsletter import create_app
from newsletter.running import processes

processes.RESTART_SECONDS = 0.05
app = create_app()
names = [f"worker-{number}" for number in range(int(sys.argv[1]))]
processes.Family(app, {name: partial(processes.serve_jobs, app) for name in names}).run()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What is done to whom."""

    database_url: str
    recipients: int
    kills: int
    workers: int = 1
    connections: int = 4
    mode: str = ""
    seconds: float = 600


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found at the end."""

    lost: list[str]
    doubled: list[str]
    uncertain: int
    states: dict[str, int]
    is_true: bool
    kills: int
    seconds: float

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.kills} kills in {self.seconds:.0f} s: lost {len(self.lost)}, doubled {len(self.doubled)},"
            f" uncertain {self.uncertain}; {self.states}; totals {'true' if self.is_true else 'WRONG'}"
        )


def play(story: Story, folder: Path) -> Outcome:
    """Send a campaign while its workers are killed, and read what became of it."""
    port = free_port()
    environ = _environ(story, folder, port)
    app = create_app(Settings.load(environ))
    campaign_id = _start(app, story.recipients)
    taken = folder / "taken.txt"
    started = time.monotonic()
    with _server(port, taken, story.mode), _family(environ, story.workers) as family:
        kills = _kill_at_random(app, campaign_id, family, story, started)
        _wait_until_sent(app, campaign_id, started + story.seconds)
    return _read(app, campaign_id, taken, kills, time.monotonic() - started)


def _start(app: Flask, recipients: int) -> int:
    with app.app_context():
        schema.upgrade()
        now = utcnow()
        fi = MailingList(slug="uutiset", name="Uutiset", language="fi", created_at=now)
        db.session.add(fi)
        db.session.flush()
        addresses = [f"lukija{number}@posti{number % 200}.example" for number in range(recipients)]
        people = [
            {"id": number + 1, "address": address, "address_key": address,
             "address_hash": hash_address(address), "language": "fi", "created_at": now}
            for number, address in enumerate(addresses)
        ]  # fmt: skip
        db.session.execute(sa.insert(table_of(Subscriber)), people)
        on_list = {"list_id": fi.id, "status": SubscriptionStatus.CONFIRMED, "created_at": now}
        db.session.execute(
            sa.insert(table_of(Subscription)),
            [on_list | {"subscriber_id": number + 1} for number in range(recipients)],
        )
        campaign = create_campaign([fi], subject="Uutiset", body="Hei!", now=now, actor="chaos")
        start_campaign(campaign.id, now=now, actor="chaos")
        db.session.commit()
        campaign_id = campaign.id
        db.session.rollback()
        db.engine.dispose()
    return campaign_id


def _kill_at_random(
    app: Flask, campaign_id: int, family: "subprocess.Popen[bytes]", story: Story, started: float
) -> int:
    """Kill -9 a worker, whenever a random share of the mails has gone since the last time."""
    kills = 0
    step = story.recipients / (story.kills + 1)
    goal = step * random.uniform(0.5, 1)
    hurried = started
    while kills < story.kills and time.monotonic() < started + story.seconds:
        done = story.recipients - _pending(app, campaign_id)
        if done >= goal:
            time.sleep(random.uniform(0, 0.05))
            with suppress(ProcessLookupError, IndexError):
                os.kill(random.choice(_children(family.pid)), signal.SIGKILL)
                kills += 1
            goal = done + step * random.uniform(0.5, 1)
        if done == story.recipients:
            break
        if time.monotonic() > hurried + HURRY_SECONDS:  # else it waits for those who wait to be tried again
            _hurry(app, campaign_id)
            hurried = time.monotonic()
        time.sleep(random.uniform(0.005, 0.03))
    return kills


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in found.split()]


def _pending(app: Flask, campaign_id: int) -> int:
    with app.app_context(), reading():
        totals = db.session.get_one(CampaignTotals, campaign_id)
        settled = totals.accepted + totals.failed + totals.skipped + totals.uncertain
        recipients = totals.recipients
        db.session.rollback()
    return recipients - settled


def _wait_until_sent(app: Flask, campaign_id: int, deadline: float) -> None:
    while time.monotonic() < deadline:
        with app.app_context(), reading():
            status = db.session.scalar(sa.select(Campaign.status).where(Campaign.id == campaign_id))
            db.session.rollback()
        if status is CampaignStatus.SENT:
            return
        time.sleep(HURRY_SECONDS)
        _hurry(app, campaign_id)


def _hurry(app: Flask, campaign_id: int) -> None:
    """Let those that were deferred be due now."""
    with app.app_context():
        due = sa.update(Delivery).where(
            Delivery.campaign_id == campaign_id,
            Delivery.status == DeliveryStatus.DEFERRED,
            Delivery.due_at > utcnow() + timedelta(seconds=1),
        )
        db.session.execute(due.values(due_at=utcnow()), execution_options={"synchronize_session": False})
        wake("campaigns")  # one at most waits in the queue: sweeps would pile up in it
        db.session.commit()


def _read(app: Flask, campaign_id: int, taken: Path, kills: int, seconds: float) -> Outcome:
    with app.app_context():
        rows = db.session.execute(
            sa.select(Subscriber.address, Delivery.status)
            .join(Delivery, Delivery.subscriber_id == Subscriber.id)
            .where(Delivery.campaign_id == campaign_id)
        ).all()
        totals = db.session.get_one(CampaignTotals, campaign_id)
        states = Counter(status.value for _address, status in rows)
        counted = {name: getattr(totals, name) for name in ("accepted", "failed", "skipped", "uncertain")}
        is_true = all(states[name] == number for name, number in counted.items())
        db.session.rollback()
        db.engine.dispose()
        queue(app).storage.close()
    got = Counter(line.split()[1] for line in taken.read_text(encoding="ascii").splitlines())
    # Who is uncertain or failed is listed, and so not lost, whether or not the mail arrived.
    lost = [
        address
        for address, status in rows
        if address not in got and status not in {DeliveryStatus.UNCERTAIN, DeliveryStatus.FAILED}
    ]
    doubled = [address for address, times in got.items() if times > 1]
    return Outcome(lost, doubled, states["uncertain"], dict(states), is_true, kills, seconds)


def _environ(story: Story, folder: Path, port: int) -> dict[str, str]:
    ours = DEFAULTS | {
        "INSTANCE_PATH": str(folder / "instance"),
        "DATABASE_URL": story.database_url,
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_PORT": str(port),
        "MAIL_TIMEOUT": "0.3" if "stall" in story.mode else "2",
        "MAIL_CONNECTIONS": str(story.connections),
    }
    del ours["QUEUE_URL"]  # several processes share one
    return {PREFIX + name: text for name, text in ours.items()}


@contextmanager
def _server(port: int, taken: Path, mode: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.recorder", str(port), str(taken), mode], cwd=ROOT
    )
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def _family(environ: dict[str, str], workers: int) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", FAMILY, str(workers)],
        env=os.environ | environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL if "CHAOS_LOG" not in os.environ else None,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)
