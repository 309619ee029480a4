"""Tell whether the time an answer takes gives away what an address is to us (SU-6).

    python benchmarks/signup_timing.py [--requests 300]

Posts the form for addresses in five states (new, pending, confirmed, asked too often, blocked), in
turn and each turn in another order, so that whatever else the machine does falls on all alike,
through the WSGI application on SQLite and on PostgreSQL, while a loader stores what was taken in as
the real one does.

Prints the median and the 90th percentile of each state, and how well the best rule "slower than x
means y" tells it from a new address: the distance D of Kolmogorov and Smirnov, 0 for no better than
chance and 1 for always right. The bound: D below 0.25 for one request. ``chance`` is what D stays
below 19 times in 20 where there is nothing to tell.
"""

import argparse
import random
import statistics
import sys
import tempfile
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path

from flask import Flask
from sqlalchemy.engine import URL

from benchmarks.engines import database
from newsletter import create_app
from newsletter.clock import utcnow
from newsletter.config import Settings
from newsletter.db import db
from newsletter.running import migrations
from newsletter.running.loader import SIGNUP_LOAD_INTERVAL, load_repeatedly
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.lists import create_list, get_lists
from newsletter.subscribers.models import Subscriber, Subscription, SubscriptionStatus, SuppressionReason
from newsletter.subscribers.signup import queue
from newsletter.subscribers.suppressions import suppress

BOUND = 0.25
#: What is not measured: connections are opened, statements compiled, pages of the database read.
WARMING = 20
LIFTED = "100000000/minute"


def main() -> int:
    """Measure both engines and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=300, choices=range(10, 2001), metavar="N")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), action="append")
    chosen = parser.parse_args()
    within = True
    for engine in chosen.engine or ("sqlite", "postgresql"):
        with tempfile.TemporaryDirectory(prefix="newsletter-timing-") as name:
            within &= _measure(engine, Path(name), chosen.requests)
    print(f"every D below {BOUND}" if within else f"a D of {BOUND} or more: a state can be told")
    return 0


def _measure(engine: str, folder: Path, requests: int) -> bool:
    with database(engine, folder) as url:
        app = _application(folder, url)
        with app.app_context():
            migrations.upgrade()
            states = _prepare(requests + WARMING)
            db.session.remove()
        times: dict[str, list[float]] = {state: [] for state in states}
        with _loading(app):
            for turn in range(requests + WARMING):
                for state, address_of in random.sample(list(states.items()), len(states)):
                    taken = _post(app, address_of(turn))
                    if turn >= WARMING:
                        times[state].append(taken * 1000)
        with app.app_context():
            db.engine.dispose()
    return _report(engine, times)


@contextmanager
def _loading(app: Flask) -> Iterator[None]:
    told = threading.Event()
    loader = threading.Thread(
        target=load_repeatedly, args=(app, queue.load_queued, SIGNUP_LOAD_INTERVAL, told)
    )
    with queue.loader_running(Path(app.instance_path)):
        loader.start()
        try:
            yield
        finally:
            told.set()
            loader.join()


def _prepare(count: int) -> dict[str, Callable[[int], str]]:
    """Make the people, and return the address to ask for in each state and turn."""
    before = utcnow() - timedelta(days=2)
    create_list(slug="uutiset", name="Uutiskirje", language="fi", now=before, actor="console")
    (mailing_list,) = get_lists(["uutiset"])
    for number in range(count):
        suppress(_address("blocked", number), SuppressionReason.BANNED, before)
        for status in (SubscriptionStatus.PENDING, SubscriptionStatus.CONFIRMED):
            address = _address(status.value, number)
            held = Subscription(mailing_list=mailing_list, status=status, created_at=before)
            db.session.add(
                Subscriber(
                    address=address,
                    address_key=address,
                    address_hash=hash_address(address),
                    language="fi",
                    created_at=before,
                    subscriptions=[held],
                )
            )
    db.session.commit()
    asked = {state: partial(_address, state) for state in ("new", "pending", "confirmed", "blocked")}
    return asked | {"too often": lambda _turn: _address("pending", 0)}


def _address(state: str, number: int) -> str:
    return f"{state}{number}@mail.example"


def _post(app: Flask, address: str) -> float:
    client = app.test_client(use_cookies=False)
    form = {"email": address, "lists": "uutiset", "consent": "yes", "lang": "fi"}
    begun = time.perf_counter()
    answer = client.post("/subscribe", data=form)
    taken = time.perf_counter() - begun
    if answer.status_code != HTTPStatus.SEE_OTHER:
        raise SystemExit(f"the form answered {answer.status_code}")
    return taken


def _report(engine: str, times: dict[str, list[float]]) -> bool:
    print(f"{engine:<12}{'median ms':>10}{'p90 ms':>10}{'D':>8}{'chance':>8}")
    within = True
    for state, sample in times.items():
        distance = _distance(times["new"], sample)
        within &= distance < BOUND
        p90 = statistics.quantiles(sample, n=10)[-1]
        chance = _expected_by_chance(len(sample))
        print(f"{state:<12}{statistics.median(sample):>10.2f}{p90:>10.2f}{distance:>8.2f}{chance:>8.2f}")
    return within


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    first, second = sorted(one), sorted(other)
    return max(
        abs(bisect_right(first, at) / len(first) - bisect_right(second, at) / len(second))
        for at in (*first, *second)
    )


def _expected_by_chance(count: int) -> float:
    """Return the D that two samples of the same distribution stay below 19 times in 20."""
    return float(1.358 * (2 / count) ** 0.5)


def _application(folder: Path, url: URL) -> Flask:
    given = {
        "INSTANCE_PATH": str(folder / "instance"),
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "SECRET_KEY": "the secret key of a benchmark",
        "SUPPRESSION_KEY": "the suppression key of a benchmark",
        "SIGNUP_LIMIT_IP": LIFTED,
        "SIGNUP_LIMIT_DOMAIN": LIFTED,
        "SIGNUP_BREAKER": LIFTED,
    }
    return create_app(Settings.load({f"NEWSLETTER_{name}": text for name, text in given.items()}))


if __name__ == "__main__":
    sys.exit(main())
