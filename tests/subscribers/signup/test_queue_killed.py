"""The real processes, killed under load: every answered signup has its rows once, and its mail."""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from flask import Flask

from newsletter.db import db
from newsletter.mail.models import OutboxMail
from newsletter.subscribers.models import Signup, Subscriber
from newsletter.subscribers.signup import queue
from tests.support.apps import DEFAULTS
from tests.support.server import LiveServer, kill_some

KILLS = 4
#: So many answers between two kills.
ANSWERS = 12


@pytest.fixture
def server(real_app: Flask, fresh_database, start_server: Callable[..., LiveServer]) -> LiveServer:
    same = {name: DEFAULTS[name.upper()] for name in ("secret_key", "suppression_key")}
    url = fresh_database.render_as_string(hide_password=False)
    db.session.rollback()
    return start_server("web", database_url=url, **same)


def keep_signing_up(server: LiveServer, name: int, answered: list[str], stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        address = f"m{name}-{number}@example.com"
        body = urlencode({"email": address, "lists": "suomeksi", "consent": "yes"})
        try:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
            connection.request(
                "POST", "/subscribe", body, {"Content-Type": "application/x-www-form-urlencoded"}
            )
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
        else:
            if status == 303:
                answered.append(address)
        finally:
            connection.close()


def wait_for(answered: list[str], count: int) -> None:
    deadline = time.monotonic() + 60
    while len(answered) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.timeout(180)
def test_kill_nine_of_pages_loader_or_both_loses_and_doubles_no_signup(real_app, finnish, server):
    db.session.rollback()  # whoever reads holds SQLite's write lock
    answered: list[str] = []
    stop = threading.Event()
    visitors = [
        threading.Thread(target=keep_signing_up, args=(server, name, answered, stop), daemon=True)
        for name in range(4)
    ]
    for visitor in visitors:
        visitor.start()
    chance = random.Random(9)
    for _kill in range(KILLS):
        wait_for(answered, len(answered) + ANSWERS)
        kill_some(server, chance)
    wait_for(answered, len(answered) + ANSWERS)
    stop.set()
    for visitor in visitors:
        visitor.join()
    server.stop()  # and what is left in the files is loaded on the way out
    if queue.count_queued(server.instance):
        server.newsletter("worker", "--until-idle")

    signups = Counter(
        db.session.scalars(sa.select(Subscriber.address).join(Signup, Signup.subscriber_id == Subscriber.id))
    )
    mails = db.session.scalar(sa.select(sa.func.count(OutboxMail.id)))
    assert {address: signups[address] for address in answered if signups[address] != 1} == {}
    assert (max(signups.values()), mails) == (1, len(signups))
    assert queue.count_queued(server.instance) == 0
