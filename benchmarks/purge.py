"""How long the January purge takes and holds others up, on SQLite and PostgreSQL.

    python benchmarks/purge.py [--people 200000] [--events 10000000] [--engine sqlite]

A quarter of the people have left, and a quarter of the events are theirs; none is of a past year.
Meanwhile another process signs people up and fetches open pixels through the application and says how
long each took. "Longest lock" is the longest time between the first statement that takes SQLite's
write lock, or PostgreSQL's row locks, and its commit; the purge's own tables, which nobody else
changes, do not count. Everything is made in a temporary folder.
"""

import argparse
import json
import multiprocessing
import re
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.engine import URL

from benchmarks.engines import database
from newsletter import create_app
from newsletter.config import PREFIX, Settings
from newsletter.db import db, is_sqlite
from newsletter.privacy.retention.purge import run_purge
from newsletter.privacy.retention.purge_selection import preview_purge
from newsletter.running import migrations
from newsletter.tracking.links import HIT_TOKEN

NOW = datetime(2027, 1, 15, 1, 0, tzinfo=UTC)
CAMPAIGNS = 10
PIECE = 500_000
#: Of so many, one has left.
SHARE = 4
CHANGES = re.compile(r"\s*(INSERT INTO|UPDATE|DELETE FROM) (?!purge_)")


def main() -> int:
    """Measure each engine and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--people", type=int, default=200_000)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"))
    parser.add_argument("--folder", type=Path, help="Where to make the database.")
    chosen = parser.parse_args()
    print(f"{chosen.people:,} people, {chosen.events:,} events; a quarter goes")
    for engine in (chosen.engine,) if chosen.engine else ("sqlite", "postgresql"):
        with tempfile.TemporaryDirectory(dir=chosen.folder) as folder, database(engine, Path(folder)) as url:
            measure(engine, Path(folder), url, chosen.people, chosen.events)
    return 0


def measure(engine: str, folder: Path, url: URL, people: int, events: int) -> None:
    """Fill a database, purge it, and print what it took."""
    app = _app(folder, url)
    with app.app_context():
        migrations.upgrade()
        _fill(people, events)
        stages = Stages()
        _watch_locks(stages)
        stop = multiprocessing.Event()
        answers: multiprocessing.Queue[dict[str, Any]] = multiprocessing.Queue()
        beside = multiprocessing.Process(target=_visit, args=(folder, url, stop, answers))
        db.session.remove()
        db.engine.dispose()
        beside.start()
        time.sleep(2)
        expected = preview_purge(
            NOW
        )  # in a running program, too, the first statements have been built before
        db.session.rollback()
        stages.begin("gather")
        counts = run_purge(now=NOW, actor="console", progress=stages.tell)
        stages.end()
        stop.set()
        heard = answers.get(timeout=30)
        beside.join()
        db.engine.dispose()
    took, cpu = stages.sums()
    print(f"{engine}: {took:.1f} s, of which CPU {cpu:.1f} s, longest lock {stages.longest_lock():.0f} ms;")
    print(f"  {json.dumps(counts)}, {'as' if counts == expected else 'not as'} the dry run said")
    print(f"  seconds (CPU), longest lock: {stages}")
    for what, times in heard.items():
        print(f"  {what}: {len(times)} answered, p50 {_at(times, 50):.0f} ms, p99 {_at(times, 99):.0f} ms")


class Stages:
    """How long each stage took, by the clock and by the CPU of this process.

    On a busy machine the second says more; PostgreSQL's own CPU is in neither.
    """

    def __init__(self) -> None:
        self._took: dict[str, tuple[float, float]] = {}
        self._locks: dict[str, float] = {}
        self.begin("")

    def begin(self, stage: str) -> None:
        """Begin a stage."""
        self._name, self._began = stage, (time.monotonic(), time.process_time())
        self._locks[stage] = 0.0

    def tell(self, stage: str, _done: int, _total: int) -> None:
        """Hear of the progress of the purge."""
        if stage != self._name:
            self.end()
            self.begin(stage)

    def hear_of_lock(self, seconds: float) -> None:
        """Hear how long a transaction held what others wait for."""
        self._locks[self._name] = max(self._locks[self._name], seconds)

    def longest_lock(self) -> float:
        """Return the longest of all stages, in milliseconds."""
        return max(self._locks[name] for name in self._took) * 1000

    def end(self) -> None:
        """End the stage under way."""
        ended = (time.monotonic(), time.process_time())
        took, cpu = (after - before for before, after in zip(self._began, ended, strict=True))
        self._took[self._name] = (took, cpu)

    def sums(self) -> tuple[float, float]:
        """Return the time of all stages, and its CPU."""
        return sum(took for took, _cpu in self._took.values()), sum(cpu for _took, cpu in self._took.values())

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {took:.1f} ({cpu:.1f}) {self._locks[name] * 1000:.0f} ms"
            for name, (took, cpu) in self._took.items()
        )


def _visit(folder: Path, url: URL, stop: Any, answers: Any) -> None:  # noqa: ANN401 - of multiprocessing
    """Sign up and fetch pixels until told to stop."""
    app = _app(folder, url)
    client = app.test_client()
    with app.app_context():
        pixel = "/o/" + HIT_TOKEN.make(1, 2)
    times: dict[str, list[float]] = {"signups": [], "pixels": []}
    number = 0
    while not stop.is_set():
        number += 1
        form = {"email": f"uusi{number}@mail.example", "lists": "uutiset", "consent": "yes", "lang": "fi"}
        for what, path, posted in (("signups", "/subscribe", form), ("pixels", pixel, None)):
            began = time.monotonic()
            answer = client.post(path, data=posted) if posted else client.get(path)
            times[what].append((time.monotonic() - began) * 1000)
            assert answer.status_code < 400, answer.status_code  # noqa: PLR2004, S101
        time.sleep(0.01)
    answers.put(times)


def _at(times: list[float], share: int) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


def _watch_locks(stages: Stages) -> None:
    """Note how long each transaction of this process held what others wait for."""
    began: dict[int, float] = {}
    sqlite = is_sqlite()
    db.session.rollback()

    def begins(connection: Any) -> None:  # noqa: ANN401
        began.setdefault(id(connection.connection.dbapi_connection), time.monotonic())

    def before(connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:  # noqa: ANN401
        if CHANGES.match(statement) or "FOR UPDATE" in statement:
            begins(connection)

    def ended(connection: Any) -> None:  # noqa: ANN401
        since = began.pop(id(connection.connection.dbapi_connection), None)
        if since is not None:
            stages.hear_of_lock(time.monotonic() - since)

    def over(connection: Any) -> None:  # noqa: ANN401
        began.pop(id(connection.connection.dbapi_connection), None)

    if sqlite:  # its write lock is taken by the BEGIN
        sa.event.listen(db.engine, "begin", begins)
    else:
        sa.event.listen(db.engine, "before_cursor_execute", before)
    sa.event.listen(db.engine, "commit", ended)
    sa.event.listen(db.engine, "rollback", over)


def _fill(people: int, events: int) -> None:
    """Make people, one list, campaigns, deliveries to everybody, and events in the order of time."""
    _fill_people(people)
    _fill_campaigns(people)
    db.session.commit()
    for low in range(1, events + 1, PIECE):
        _insert(
            "events(id, at, campaign_id, edition_id, subscriber_id, kind, ip, user_agent, machine_class,"
            f" rules_version) SELECT i, '{_stamp()}', 1 + i * {CAMPAIGNS} / {events + 1}, 1,"
            f" 1 + mod(i * 7919, {people}),"
            " 'open', '203.0.113.7', 'Mozilla/5.0 Thunderbird', 'human', 1 FROM n",
            low, min(events, low + PIECE - 1),
        )  # fmt: skip
        db.session.commit()
    if not is_sqlite():
        _settle_postgres()


def _fill_people(people: int) -> None:
    stamp = _stamp()
    _run(
        "INSERT INTO lists (id, slug, name, language, topics, frequency, is_public, created_at)"
        f" VALUES (1, 'uutiset', 'Uutiset', 'fi', '', '', {_yes()}, '{stamp}')"
    )
    _insert(
        "subscribers(id, address, address_key, address_hash, language, tracking, created_at)"
        " SELECT i, 'a' || i || '@m.example', 'a' || i || '@m.example', 'h' || i, 'fi', 'granted',"
        f" '{stamp}' FROM n",
        1, people,
    )  # fmt: skip
    instant = "TEXT" if is_sqlite() else "TIMESTAMP WITH TIME ZONE"
    _insert(
        "subscriptions(subscriber_id, list_id, status, created_at, confirmed_at, unsubscribed_at)"
        f" SELECT i, 1, CASE WHEN mod(i, {SHARE}) = 0 THEN 'unsubscribed' ELSE 'confirmed' END,"
        f" '{stamp}', '{stamp}',"
        f" CASE WHEN mod(i, {SHARE}) = 0 THEN CAST('{stamp}' AS {instant}) END FROM n",
        1, people,
    )  # fmt: skip
    _insert(
        "consents(subscriber_id, kind, purpose, list_id, notice_version, at, method, ip, is_sealed)"
        f" SELECT i, 'confirmed', 'newsletter', 1, 1, '{stamp}', 'form', '203.0.113.7', NOT {_yes()} FROM n",
        1, people,
    )  # fmt: skip


def _fill_campaigns(people: int) -> None:
    for campaign in range(1, CAMPAIGNS + 1):
        _run(
            "INSERT INTO campaigns (id, status, created_at, started_at)"
            f" VALUES ({campaign}, 'sent', '{_stamp()}', '{_stamp()}')"
        )
        _insert(
            "deliveries(campaign_id, subscriber_id, edition_id, list_id, status, attempts, is_measured)"
            f" SELECT {campaign}, i, {campaign}, 1, 'accepted', 1, {_yes()} FROM n",
            1, people,
        )  # fmt: skip


def _insert(sql: str, low: int, high: int) -> None:
    """Insert a row for each number n(i) from low to high."""
    table, rest = sql.split(") SELECT ", 1)
    if is_sqlite():
        series = f"RECURSIVE n(i) AS (SELECT {low} UNION ALL SELECT i + 1 FROM n WHERE i < {high})"
    else:
        series = f"n AS (SELECT generate_series({low}::bigint, {high}::bigint) AS i)"
    _run(f"INSERT INTO {table}) WITH {series} SELECT {rest}")


def _settle_postgres() -> None:
    """Let the next numbers follow, and the planner know the tables."""
    for table in ("lists", "subscribers", "subscriptions", "consents", "events"):
        _run(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")
    _run("ANALYZE")
    db.session.commit()


def _run(sql: str) -> None:
    db.session.connection().exec_driver_sql(sql)


def _stamp() -> str:
    return "2027-01-05 01:00:00.000000" + ("" if is_sqlite() else "+00:00")


def _yes() -> str:
    return "1" if is_sqlite() else "true"


def _app(folder: Path, url: URL) -> Flask:
    lifted = "100000000/minute"
    environ = {
        "INSTANCE_PATH": str(folder),
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "SECRET_KEY": "k" * 40,
        "SUPPRESSION_KEY": "s" * 40,
        "QUEUE_URL": "memory://",
        **{f"SIGNUP_{name}": lifted for name in ("LIMIT_IP", "LIMIT_ADDRESS", "LIMIT_DOMAIN", "BREAKER")},
    }
    return create_app(Settings.load({PREFIX + name: text for name, text in environ.items()}))


if __name__ == "__main__":
    sys.exit(main())
