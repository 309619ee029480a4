"""How long the pages of figures take among many events, and what it costs to load more.

    python benchmarks/stats.py [--events 10000000] [--campaigns 100] [--people 200000] [--engine sqlite]

Fills a temporary database with campaigns, deliveries and raw records, makes the roll-ups from them,
then asks for every page as someone of the privacy level, and for figures as a program. For each page:
the whole request (median and slowest of --rounds), its CPU in this process, and what its queries take in
the database with all rows read, by the clock and of CPU, which depends least on what else the machine
does. These are asked once more apart, as SQLite does much of its work while rows are read. Then --hits
new hits go through the spool, and everything is counted again. Nothing outside the temporary folder is
touched.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.engine import URL

from benchmarks.engines import database
from benchmarks.stats_filling import AGENT, address_of, fill
from newsletter import create_app
from newsletter.clock import utcnow
from newsletter.config import Settings
from newsletter.db import db
from newsletter.running import migrations
from newsletter.staff.api_tokens import create_token
from newsletter.staff.auth import sessions
from newsletter.staff.auth.access import UNDERTAKING_VERSION, make_uniquifier
from newsletter.staff.models import Role, Staff
from newsletter.stats.rollups import verify
from newsletter.stats.rollups.ingest import load_local_logs
from newsletter.tracking.hit_log import HitLog


def main() -> int:
    """Measure each engine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--campaigns", type=int, default=100)
    parser.add_argument("--people", type=int, default=200_000)
    parser.add_argument("--hits", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), action="append")
    chosen = parser.parse_args()
    for engine in chosen.engine or ("sqlite", "postgresql"):
        with tempfile.TemporaryDirectory(prefix="newsletter-stats-") as name:
            folder = Path(name)
            folder.chmod(0o755)
            with database(engine, folder) as url:
                _measure(engine, url, folder, chosen)
    return 0


def _measure(engine: str, url: URL, folder: Path, chosen: argparse.Namespace) -> None:
    os.environ |= {
        "NEWSLETTER_INSTANCE_PATH": str(folder / "instance"),
        "NEWSLETTER_DATABASE_URL": url.render_as_string(hide_password=False),
        "NEWSLETTER_BASE_URL": "http://127.0.0.1:8000",
        "NEWSLETTER_MAIL_SERVER": "mail.example",
        "NEWSLETTER_SECRET_KEY": "the secret key of a benchmark",
        "NEWSLETTER_SUPPRESSION_KEY": "the suppression key of a benchmark",
    }
    app = create_app(Settings.load())
    with app.app_context():
        migrations.upgrade()
        began = time.perf_counter()
        filled = fill(events=chosen.events, campaigns=chosen.campaigns, people=chosen.people, now=utcnow())
        took = time.perf_counter() - began
        visitor = _Visitor(app)
    sizes = f"{chosen.events:,} events, {chosen.campaigns} campaigns, {chosen.people:,} people"
    print(f"{engine}: {sizes} ({took:.0f} s to fill)")
    print(f"  {'page':<46}{'ms':>7}{'slowest':>9}{'CPU ms':>8}{'database':>10}{'CPU ms':>8}{'queries':>9}")
    newest, oldest = filled.campaigns[-1], filled.campaigns[0]
    for path in (
        "/staff/overview?days=365", "/staff/overview.csv?days=365", "/staff/campaigns",
        f"/staff/campaigns/{newest.id}", f"/staff/campaigns/{oldest.id}",
        f"/staff/campaigns/{oldest.id}?with=list-{filled.list_id}",
        f"/staff/campaigns/{oldest.id}?with={newest.id}", f"/staff/campaigns/{newest.id}.csv",
        f"/staff/campaigns/{oldest.id}.csv", f"/staff/campaigns/{oldest.id}/letter/{oldest.edition_id}",
        "/staff/lists/uutiset?days=365", "/staff/funnel", "/staff/funnel.csv",
        f"/api/v1/campaigns/{newest.id}/figures", f"/api/v1/campaigns/{oldest.id}/figures",
    ):  # fmt: skip
        visitor.time(path, chosen.rounds)
    for who in (1, chosen.people // 2):  # one got every campaign, the other hardly any
        visitor.time("/staff/readers", chosen.rounds, address=address_of(who))
    with app.app_context():
        _time_loading(folder / "instance" / "spool", newest.edition_id, chosen)
        began = time.perf_counter()
        _number, wrong = verify.verify_all()
        print(f"  newsletter stats verify: {len(wrong)} wrong numbers, {time.perf_counter() - began:.1f} s")
        for found in wrong[:5]:
            print(f"    {found}")
        db.session.remove()
        db.engine.dispose()


class _Visitor:
    """Someone of the privacy level, who may see every page, and a program with a key."""

    def __init__(self, app: Flask) -> None:
        now = utcnow()
        account = Staff(
            email="anna@mail.example", password="-",  # noqa: S106 - nobody's
            active=True, fs_uniquifier=make_uniquifier(), role=Role.PRIVACY, created_at=now,
            undertaken_at=now, undertaking_version=UNDERTAKING_VERSION,
        )  # fmt: skip
        db.session.add(account)
        db.session.flush()
        token = sessions.create_session(account, network="192.0.2.1", agent="benchmark", now=now)
        _made, secret = create_token(
            name="benchmark", scopes=["figures:read"], lists=None, days=1, now=now, actor="console"
        )
        db.session.commit()
        self._engine, self._client = db.engine, app.test_client()
        self._headers = {"Authorization": f"Bearer {secret}", "Accept-Language": "fi"}
        with self._client.session_transaction() as session:
            session["_user_id"], session["_fresh"] = account.fs_uniquifier, True
            session["staff_session"] = token
        app.config["WTF_CSRF_ENABLED"] = False

    def time(self, path: str, rounds: int, **form: str) -> None:
        """Ask for a page and print what it took."""
        whole, spent, inside, busy_inside, queries = [], [], [], [], 0
        for _round in range(rounds + 1):
            began, busy = time.perf_counter(), time.process_time()
            self._ask(path, form)
            whole.append((time.perf_counter() - began) * 1000)
            spent.append((time.process_time() - busy) * 1000)
            with _database_time(self._engine) as database:
                self._ask(path, form)
            inside.append(database.took * 1000)
            busy_inside.append(database.cpu * 1000)
            queries = database.statements
        whole, spent, inside = whole[1:], spent[1:], inside[1:]  # the first one compiles templates
        name = f"{path} (POST)" if form else path
        print(
            f"  {name:<46}{statistics.median(whole):>7.1f}{max(whole):>9.1f}{statistics.median(spent):>8.1f}"
            f"{statistics.median(inside):>10.2f}{statistics.median(busy_inside[1:]):>8.2f}{queries:>9}"
        )

    def _ask(self, path: str, form: dict[str, str]) -> None:
        method = "POST" if form else "GET"
        answer = self._client.open(path, method=method, data=form or None, headers=self._headers)
        answer.get_data()  # also of what comes in pieces
        if answer.status_code != 200:  # noqa: PLR2004 - OK
            raise SystemExit(f"{path} answered {answer.status}")


@dataclass(slots=True)
class _InDatabase:
    """What the statements of one page took, in seconds: by the clock, and of CPU."""

    took: float = 0.0
    cpu: float = 0.0
    statements: int = 0


@contextmanager
def _database_time(engine: sa.Engine) -> Iterator[_InDatabase]:
    """Ask each query of a page once more, past SQLAlchemy, and time it until its last row is read."""
    spent = _InDatabase()

    def before(
        connection: sa.Connection,
        _cursor: Any,  # noqa: ANN401 - the driver's
        statement: str,
        parameters: Any,  # noqa: ANN401 - the driver's
        *_context: Any,  # noqa: ANN401 - SQLAlchemy's own
    ) -> None:
        spent.statements += 1
        if not statement.startswith(("SELECT", "WITH")):
            return  # what is written down of a look is not asked twice
        driver: Any = connection.connection.driver_connection
        began, busy = time.perf_counter(), _database_cpu(connection)
        cursor = driver.cursor()
        cursor.execute(statement, parameters)
        cursor.fetchall()
        spent.took += time.perf_counter() - began
        spent.cpu += _database_cpu(connection) - busy
        cursor.close()

    sa.event.listen(engine, "before_cursor_execute", before)
    try:
        yield spent
    finally:
        sa.event.remove(engine, "before_cursor_execute", before)


def _database_cpu(connection: sa.Connection) -> float:
    """Return the CPU that the database has had: SQLite works in our thread, PostgreSQL in a process."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        return time.thread_time()
    nanoseconds = Path(f"/proc/{driver.info.backend_pid}/schedstat").read_text(encoding="ascii").split()[0]
    return int(nanoseconds) / 1e9


def _time_loading(folder: Path, edition: int, chosen: argparse.Namespace) -> None:
    for kind, number in ((b"open", b"null"), (b"click", b"1")):
        spool = HitLog(folder)
        now = int(time.time() * 1000)
        for hit in range(chosen.hits):
            who = hit % (chosen.people // 10) + 1
            values = (now + hit, kind, edition, who, number, AGENT.encode("ascii"))
            spool.append(b'[%d,"%s",%d,%d,%s,"203.0.113.7","%s"]\n' % values)
        spool.close()
        began, busy = time.perf_counter(), time.process_time()
        loaded = load_local_logs()
        took, spent = time.perf_counter() - began, time.process_time() - busy
        print(
            f"  loading {loaded:,} {kind.decode()}s: {took / loaded * 1e6:.1f} us each,"
            f" {spent / loaded * 1e6:.1f} of them CPU of the loader"
        )


if __name__ == "__main__":
    sys.exit(main())
