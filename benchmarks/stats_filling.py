"""Fills a database with campaigns, their deliveries and raw records, for ``stats.py``.

One campaign's hits are made up here; the database multiplies them, and the roll-ups are what loading
would have made of them: ``newsletter stats verify`` finds no difference.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.campaigns.drafts import create_campaign
from newsletter.campaigns.models import CampaignStatus
from newsletter.db import db, is_sqlite
from newsletter.sending.message.personalize import compile_edition
from newsletter.sending.worker.leasing import add_to_totals
from newsletter.stats.rollups.funnel_months import close_months
from newsletter.stats.rollups.list_growth import count_list_days
from newsletter.stats.rollups.segments import count_segments
from newsletter.stats.rollups.writer import RollupWriter
from newsletter.subscribers.lists import create_list
from newsletter.subscribers.models import FunnelCount, FunnelStep, MailingList
from newsletter.tracking.classify import RULES_VERSION
from newsletter.tracking.models import EventKind, MachineClass

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4"
LINKS = 20
#: Of the hits, those of people; and how quickly they become fewer.
HUMAN, SPREAD = 0.8, 0.8


@dataclass(frozen=True, slots=True)
class Sent:
    """A campaign and its edition."""

    id: int
    edition_id: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Filled:
    """What the database holds."""

    list_id: int
    campaigns: Sequence[Sent]


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


def fill(*, events: int, campaigns: int, people: int, now: datetime) -> Filled:
    """Make lists, people and campaigns, and let the database multiply one campaign's hits to all."""
    began = now.replace(minute=0, second=0, microsecond=0)
    made = create_list(slug="uutiset", name="Uutiskirje", language="fi", now=now, actor="console")
    db.session.flush()
    _people(people, made.id, began)
    sent = [
        _campaign(made, number, began - timedelta(days=3 * (campaigns - number) + 14))
        for number in range(campaigns)
    ]
    pattern = _Pattern.make(people // 10, events // campaigns)
    _stage(pattern)
    db.session.commit()
    for number, campaign in enumerate(sent):
        # To a tenth of the people each. The last goes to all of them, and is on its way.
        shift = 0 if campaign is sent[-1] else number * (people // campaigns)
        _copy(campaign, made.id, pattern, shift, people, first_id=number * len(pattern.hits))
        if campaign is sent[-1]:
            _leave_under_way(campaign, made.id, pattern, people)
        db.session.commit()
    for campaign in sent:
        count_segments(campaign.id, now)
        db.session.commit()
    _days(made.id, now)
    count_list_days(now)
    close_months(now.date())
    if not is_sqlite():
        _run("SELECT setval('events_id_seq', (SELECT max(id) FROM events))")
        db.session.commit()
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    return Filled(made.id, sent)


def address_of(who: int) -> str:
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


def _campaign(made: MailingList, number: int, at: datetime) -> Sent:
    body = "\n\n".join(f"[Lue {n}](https://www.kirjakauppa.example/{n})" for n in range(1, LINKS + 1))
    campaign = create_campaign([made], subject=f"Numero {number}", body=body, now=at, actor="console")
    for edition in campaign.editions:
        compile_edition(edition)
    campaign.status, campaign.started_at = CampaignStatus.SENT, at
    campaign.finished_at = at + timedelta(minutes=5)
    db.session.flush()
    return Sent(campaign.id, campaign.editions[0].id, at)


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


def _copy(campaign: Sent, list_id: int, pattern: _Pattern, shift: int, people: int, *, first_id: int) -> None:
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


def _roll_up(campaign: Sent, pattern: _Pattern) -> None:
    changes = RollupWriter(campaign.id)
    for _reader, kind, link, minutes, made_by in pattern.hits:
        at = campaign.started_at + timedelta(minutes=minutes)
        changes.add_hit(EventKind(kind), MachineClass(made_by), at, (campaign.edition_id, link))
    for what in EventKind:
        for minutes in pattern.firsts(what.value).values():
            changes.add_unique(what, campaign.started_at + timedelta(minutes=minutes), [])
    for link, _reader in pattern.followers():
        changes.add_reader(campaign.edition_id, link)
    changes.write()
    add_to_totals(campaign.id, recipients=pattern.readers, accepted=pattern.readers, measured=pattern.readers)


def _leave_under_way(campaign: Sent, list_id: int, pattern: _Pattern, people: int) -> None:
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
    add_to_totals(campaign.id, recipients=rest, accepted=rest - waiting, measured=rest - waiting)
    _run(
        "UPDATE campaigns SET status = 'sending', finished_at = NULL WHERE id = :campaign",
        campaign=campaign.id,
    )
