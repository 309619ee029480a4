"""Several workers at once, and workers that are killed: nothing lost, nothing doubled."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from newsletter.campaigns.models import Campaign, CampaignStatus
from newsletter.config import PREFIX
from newsletter.db import db, read_transactions
from newsletter.sending.worker import deliver
from tests.support.apps import DEFAULTS
from tests.support.server import ROOT


def work(app: Flask) -> int:
    with app.app_context():
        return deliver.deliver_due()


@pytest.mark.parametrize(("workers", "connections"), [(2, 1), (1, 4)])
def test_workers_side_by_side_send_to_everyone_once(
    real_app, make_app, make_list, make_readers, start, smtp_server, outcome, workers, connections
):
    fi = make_list()
    addresses = make_readers(fi, 230)
    campaign = start([fi])
    app = make_app(**smtp_server.settings, mail_connections=connections)
    db.session.rollback()

    with ThreadPoolExecutor(workers) as pool:
        accepted = sum(pool.map(work, [app] * workers))

    assert sorted(received.recipients[0] for received in smtp_server.handed_over) == addresses
    assert (accepted, outcome(campaign)) == (230, {"accepted": 230})


# --- killed ----------------------------------------------------------------------------------------

#: The parent of ``newsletter run`` with workers only, and hurrying to replace one that died.
FAMILY = """
import sys
from functools import partial

from newsletter import create_app
from newsletter.running import supervisor

supervisor.RESTART_DELAY = 0.1
app = create_app()
names = [f"worker-{number}" for number in range(int(sys.argv[1]))]
supervisor.Supervisor(app, {name: partial(supervisor.run_worker, app) for name in names}).run()
"""


class Crew:
    """Real worker processes, sending through a server that keeps every message."""

    def __init__(self, parent: "subprocess.Popen[bytes]") -> None:
        self._parent = parent

    def kill_one(self) -> None:
        """Kill -9 the worker that has been here longest; another takes its place."""
        os.kill(self._workers()[0], signal.SIGKILL)

    def dismiss(self) -> None:
        """End them all."""
        self._parent.terminate()
        self._parent.wait(30)

    def _workers(self) -> list[int]:
        pid = self._parent.pid
        return [
            int(child)
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        ]


@pytest.fixture
def hire_crew(real_app, tmp_path, smtp_server) -> Iterator[Callable[..., Crew]]:
    crews = []

    def hire(workers: int, **settings: object) -> Crew:
        url = real_app.config["NEWSLETTER"].database_url.render_as_string(hide_password=False)
        chosen = {"database_url": url, "instance_path": tmp_path / "crew"} | smtp_server.settings | settings
        environ = DEFAULTS | {name.upper(): str(value) for name, value in chosen.items()}
        del environ["QUEUE_URL"]  # several processes share one
        parent = subprocess.Popen(
            [sys.executable, "-c", FAMILY, str(workers)],
            env=os.environ
            | {PREFIX + name: text for name, text in environ.items()}
            | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.DEVNULL,
        )
        crews.append(Crew(parent))
        return crews[-1]

    yield hire
    for crew in crews:
        crew.dismiss()


def wait_until(condition: Callable[[], bool], every: float = 0.001) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(every)


def is_sent(campaign: Campaign) -> bool:
    with read_transactions():  # on SQLite, whoever asks for more than this holds the workers up
        status = db.session.scalar(sa.select(Campaign.status).where(Campaign.id == campaign.id))
        db.session.rollback()
    return status is CampaignStatus.SENT


@pytest.mark.parametrize(
    ("engine", "workers", "connections"), [("sqlite", 1, 2), ("postgresql", 2, 2)], indirect=["engine"]
)
def test_killing_workers_loses_nothing_and_doubles_nothing(
    make_list, make_readers, start, hire_crew, smtp_server, statuses, outcome, workers, connections
):
    fi = make_list()
    addresses = make_readers(fi, 300)
    campaign = start([fi])
    db.session.rollback()
    crew = hire_crew(workers, mail_connections=connections)

    for number in (20, 70, 120, 170, 220):
        wait_until(lambda number=number: len(smtp_server.handed_over) >= number)  # type: ignore[misc]
        crew.kill_one()
    wait_until(lambda: is_sent(campaign), every=0.1)

    received = [message.recipients[0] for message in smtp_server.handed_over]
    found = statuses(campaign)
    uncertain = {address for address, status in found.items() if status == "uncertain"}
    assert sorted(received) == sorted(set(received))
    assert set(addresses) - set(received) <= uncertain
    assert sum(outcome(campaign).values()) == 300
    assert set(found.values()) <= {"accepted", "uncertain"}
    assert len(uncertain) <= 5 * connections
