"""A purge in a process of its own, killed with -9 in the middle and finished by another."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.config import PREFIX
from newsletter.db import db, read_transactions
from newsletter.privacy.models import PurgeCandidate, PurgeRun
from newsletter.privacy.retention.purge import purge_if_due
from newsletter.subscribers.models import Subscriber, Subscription, SubscriptionStatus
from tests.privacy.purging import DUE, LEFT, addresses, event_row
from tests.support.apps import DEFAULTS
from tests.support.server import ROOT

SLOW = """
import sys, time
from newsletter import create_app
from newsletter.db import batching
from newsletter.privacy.retention import purge
from newsletter.tracking import personal_data
personal_data.BATCH_SIZE = 10
batching.TARGET_SECONDS = 0.0
batching.PAUSE_SHARE, batching.MAX_PAUSE_SECONDS = 1000, 0.02
app = create_app()
with app.app_context():
    from datetime import datetime
    purge.purge_if_due(datetime.fromisoformat(sys.argv[1]))
"""


@pytest.mark.parametrize("engine", ["sqlite"])
def test_rp1_killed_in_the_middle_it_is_finished_by_the_next_sweep(real_app, make_list, make_subscriber):
    fi = make_list()
    stays = make_subscriber("aino@example.com", [fi])
    for _person in range(5):
        make_subscriber(lists=[fi], status=LEFT)
    rows = [event_row(DUE - timedelta(days=30)) for _number in range(2000)]
    db.session.execute(sa.insert(db.metadata.tables["events"]), rows)
    db.session.commit()
    chosen = real_app.config["NEWSLETTER"]
    ours = DEFAULTS | {"INSTANCE_PATH": str(chosen.instance_path), "DATABASE_URL": str(chosen.database_url)}
    others = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    environ = others | {"PYTHONPATH": str(ROOT)} | {PREFIX + name: text for name, text in ours.items()}
    process = subprocess.Popen([sys.executable, "-c", SLOW, DUE.isoformat()], env=environ)
    wait_until_it_deletes()

    process.send_signal(signal.SIGKILL)
    process.wait()
    left_half_way = count("events")
    late = db.session.scalars(sa.select(Subscription).where(Subscription.subscriber_id == stays.id)).one()
    late.status, late.unsubscribed_at = SubscriptionStatus.UNSUBSCRIBED, DUE + timedelta(seconds=30)
    db.session.commit()
    purge_if_due(DUE + timedelta(minutes=1))

    assert 0 < left_half_way < 2000
    assert addresses() == ["aino@example.com"]  # who left while it ran waits for the next
    assert count("events") == 0
    run = db.session.scalars(sa.select(PurgeRun)).one()
    assert (run.counts["people"], run.finished_at) == (5, DUE + timedelta(minutes=1))
    assert db.session.scalars(sa.select(PurgeCandidate)).all() == []
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Subscriber)) == 1


def count(table):
    db.session.rollback()
    with read_transactions():
        found = db.session.scalar(sa.text(f"SELECT count(*) FROM {table}"))  # noqa: S608 - a name of ours
        db.session.rollback()
    return found


def wait_until_it_deletes():
    deadline = time.monotonic() + 30
    while count("events") > 1900:
        assert time.monotonic() < deadline
        time.sleep(0.01)
