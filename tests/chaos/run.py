"""Kill workers while they send, and worse, and count: nobody lost, nobody doubled, every doubt listed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.exc import OperationalError

from newsletter import create_app
from newsletter.campaigns.drafts import create_campaign
from newsletter.campaigns.models import Campaign, CampaignStatus, CampaignTotals
from newsletter.clock import utcnow
from newsletter.config import PREFIX, Settings
from newsletter.db import db, reading, sqlite_write_lock, table_of
from newsletter.running import migrations
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.models import MailingList, Subscriber, Subscription, SubscriptionStatus
from newsletter.wakeups import queue, wake, wake_now
from tests.chaos.grounds import Ground, Trouble
from tests.support.apps import DEFAULTS
from tests.support.server import ROOT, free_port

#: Whoever was deferred is due again after so long at most: nobody wants to wait for four days.
HURRY_SECONDS = 0.2
#: How long a trouble of the database lasts, at most; on SQLite workers then wait for a lock for less.
TROUBLE_SECONDS = 2.0
HASTY_PATIENCE = 0.2
#: What stands in a worker's log whenever its database did not do what it should.
_FAILED = "sqlalchemy.exc.OperationalError"

#: The parent of ``newsletter run`` with workers only, and hurrying to replace one that died.
FAMILY = """
import sys
from functools import partial

from newsletter import create_app
from newsletter.db import sqlite_write_lock
from newsletter.running import supervisor

supervisor.RESTART_SECONDS = 0.05
sqlite_write_lock.PATIENCE = float(sys.argv[2])
app = create_app()
names = [f"worker-{number}" for number in range(int(sys.argv[1]))]
supervisor.Family(app, {name: partial(supervisor.serve_jobs, app) for name in names}).run()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What is done to whom."""

    ground: Ground
    recipients: int
    kills: int
    #: So often something happens to the database, where the ground knows of something.
    troubles: int = 0
    workers: int = 1
    connections: int = 4
    #: Mails a second of each worker at most; 0 is as fast as it goes.
    rate: int = 0
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
    #: What became of the campaign, and why it was paused, if it was.
    campaign: str
    kills: int
    #: How often the database failed its workers.
    outages: int
    seconds: float

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.kills} kills, {self.outages} outages in {self.seconds:.0f} s: {self.campaign};"
            f" lost {len(self.lost)}, doubled {len(self.doubled)}, uncertain {self.uncertain};"
            f" {self.states}; totals {'true' if self.is_true else 'WRONG'}"
        )


def play(story: Story, folder: Path) -> Outcome:
    """Send a campaign while its workers are killed, and read what became of it."""
    port = free_port()
    environ = _environ(story, port)
    app = create_app(Settings.load(environ))
    campaign_id = _start(app, story.recipients)
    taken, said = folder / "taken.txt", folder / "workers.log"
    started = time.monotonic()
    with _server(port, taken, story.mode), _family(environ, story, said) as family:
        kills = Havoc(app, campaign_id, family.pid, story, started + story.seconds).wreak()
        _wait_until_over(app, campaign_id, started + story.seconds)
    return _read(app, campaign_id, folder, kills, time.monotonic() - started)


def _start(app: Flask, recipients: int) -> int:
    with app.app_context():
        migrations.upgrade()
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


class Havoc:
    """Strikes whenever a random share of the mails has gone since the last time."""

    def __init__(self, app: Flask, campaign_id: int, family: int, story: Story, deadline: float) -> None:
        self._app, self._campaign_id, self._story = app, campaign_id, story
        self._family, self._deadline = family, deadline
        self._kills = 0
        kinds = story.ground.troubles
        troubles = [
            self._trouble(kinds[number % len(kinds)]) for number in range(story.troubles if kinds else 0)
        ]
        self._strikes = [*[self._kill] * story.kills, *troubles]
        random.shuffle(self._strikes)

    def wreak(self) -> int:
        """Strike until all is done or over; return how many workers were killed."""
        step = self._story.recipients / (len(self._strikes) + 1)
        goal = step * random.uniform(0.5, 1)
        hurried = time.monotonic()
        while (
            self._strikes and time.monotonic() < self._deadline and not _is_over(self._app, self._campaign_id)
        ):
            done = _done(self._app, self._campaign_id)
            if done is not None and done >= goal:
                self._strikes.pop()()
                goal = done + step * random.uniform(0.5, 1)
            if (
                time.monotonic() > hurried + HURRY_SECONDS
            ):  # else it waits for those who wait to be tried again
                _hurry(self._app, self._campaign_id)
                hurried = time.monotonic()
            time.sleep(random.uniform(0.005, 0.03))
        return self._kills

    def _kill(self) -> None:
        """Kill a worker with -9."""
        time.sleep(random.uniform(0, 0.05))
        with suppress(ProcessLookupError, IndexError):
            os.kill(random.choice(_children(self._family)), signal.SIGKILL)
            self._kills += 1

    def _trouble(self, kind: Trouble) -> Callable[[], None]:
        def strike() -> None:
            with kind():
                time.sleep(TROUBLE_SECONDS * random.uniform(0.2, 0.5))
                if random.random() < 0.5:  # whoever comes then finds no database either
                    self._kill()
                time.sleep(TROUBLE_SECONDS * random.uniform(0.2, 0.5))
            with self._app.app_context():
                queue(self._app).storage.close()  # its connection has been ended too
                wake_now("sweep")  # the first one of a new worker found no database: not to wait a minute

        return strike


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in found.split()]


def _done(app: Flask, campaign_id: int) -> int | None:
    """Return how many deliveries are settled; None when the database does not say."""
    with app.app_context(), reading(), suppress(OperationalError):
        totals = db.session.get_one(CampaignTotals, campaign_id)
        return totals.accepted + totals.failed + totals.skipped + totals.uncertain
    return None


def _is_over(app: Flask, campaign_id: int) -> bool:
    """Tell whether a campaign has been sent, or paused by the breaker: nobody would resume it here."""
    with app.app_context(), reading(), suppress(OperationalError):
        status = db.session.scalar(sa.select(Campaign.status).where(Campaign.id == campaign_id))
        return status is not CampaignStatus.SENDING
    return False


def _wait_until_over(app: Flask, campaign_id: int, deadline: float) -> None:
    while time.monotonic() < deadline and not _is_over(app, campaign_id):
        time.sleep(HURRY_SECONDS)
        _hurry(app, campaign_id)


def _hurry(app: Flask, campaign_id: int) -> None:
    """Let those that were deferred be due now."""
    with app.app_context(), suppress(OperationalError):
        due = sa.update(Delivery).where(
            Delivery.campaign_id == campaign_id,
            Delivery.status == DeliveryStatus.DEFERRED,
            Delivery.due_at > utcnow() + timedelta(seconds=1),
        )
        db.session.execute(due.values(due_at=utcnow()), execution_options={"synchronize_session": False})
        wake("campaigns")  # one at most waits in the queue: sweeps would pile up in it
        db.session.commit()


def _read(app: Flask, campaign_id: int, folder: Path, kills: int, seconds: float) -> Outcome:
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
        campaign = db.session.get_one(Campaign, campaign_id, populate_existing=True)
        ended = ": ".join(filter(None, [campaign.status.value, campaign.pause_reason]))
        db.session.rollback()
        db.engine.dispose()
        queue(app).storage.close()
    got = Counter(line.split()[1] for line in (folder / "taken.txt").read_text(encoding="ascii").splitlines())
    outages = (folder / "workers.log").read_text(encoding="utf-8").count(_FAILED)
    # Who is uncertain or failed is listed, and so not lost, whether or not the mail arrived.
    lost = [
        address
        for address, status in rows
        if address not in got and status not in {DeliveryStatus.UNCERTAIN, DeliveryStatus.FAILED}
    ]
    doubled = [address for address, times in got.items() if times > 1]
    return Outcome(lost, doubled, states["uncertain"], dict(states), is_true, ended, kills, outages, seconds)


def _environ(story: Story, port: int) -> dict[str, str]:
    ours = DEFAULTS | {
        "INSTANCE_PATH": str(story.ground.instance),
        "DATABASE_URL": story.ground.url,
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_PORT": str(port),
        "MAIL_TIMEOUT": "0.3" if "stall" in story.mode else "2",
        "MAIL_CONNECTIONS": str(story.connections),
        "MAIL_RATE": str(story.rate),
        "BOUNCE_STOP": "100",  # a mode refuses every tenth: that would rightly stop a campaign of 1,000
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
def _family(environ: dict[str, str], story: Story, said: Path) -> Iterator["subprocess.Popen[bytes]"]:
    patience = HASTY_PATIENCE if story.ground.troubles else sqlite_write_lock.PATIENCE
    with said.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", FAMILY, str(story.workers), str(patience)],
            env=os.environ | environ | {"PYTHONPATH": str(ROOT)},
            stderr=file,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)
