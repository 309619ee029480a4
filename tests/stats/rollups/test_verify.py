"""The roll-ups equal a naive recount, whatever happens in whichever order; and rules can change."""

import dataclasses
import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from newsletter.campaigns.models import Campaign, CampaignTotals
from newsletter.config import current_settings as chosen
from newsletter.db import db
from newsletter.privacy.retention.erasure import erase_people
from newsletter.sending.models import Delivery
from newsletter.stats.models import CampaignClass, CampaignGroup, CampaignHour
from newsletter.stats.rollups.ingest import store_hits
from newsletter.stats.rollups.reclassify import reclassify
from newsletter.stats.rollups.verify import verify_all, verify_campaign
from newsletter.subscribers.models import Subscriber, TrackingState
from newsletter.tracking.classify import Rules
from newsletter.tracking.loader import load
from newsletter.tracking.models import Event, LinkTotals
from tests.support.clock import NOW
from tests.tracking.hits import APPLE, LATER, THUNDERBIRD, hit_line, load_hits, spool_folder, spool_hits

GRANTED, REFUSED = TrackingState.GRANTED, TrackingState.REFUSED
AGENTS = {"human": THUNDERBIRD, "proxy": "x GoogleImageProxy", "apple": APPLE, "bot": "curl/8.5.0"}
BODY = " ".join(f"[{n}](https://kirja.example/{n})" for n in range(1, 5))
PEOPLE = 4


# --- a naive model ---------------------------------------------------------------------------------


@dataclass
class Naive:
    """Remembers every hit that counts, and counts them all at the end."""

    allowed_from: dict[int, datetime | None]
    waiting: list[tuple[int, int | None, str, datetime]] = field(default_factory=list)
    kept: list[tuple[int, int | None, str, datetime]] = field(default_factory=list)

    def load(self) -> None:
        for hit in self.waiting:
            since = self.allowed_from[hit[0]]
            if since is not None and hit[3] >= since:
                self.kept.append(hit)
        self.waiting = []

    def counts(self) -> dict[str, int]:
        human = {"human", "proxy"}
        found: Counter[str] = Counter()
        people: dict[str, set[int]] = {"opens": set(), "clicks": set()}
        for place, (who, link, kind, at) in enumerate(self.kept):
            name = "opens" if link is None else "clicks"
            is_human = kind in human and at - NOW >= timedelta(seconds=10)
            if link is not None and is_human:
                is_human = not self.hasty(place)
            found[f"{name}_{'human' if is_human else 'machine'}"] += 1
            if is_human:
                people[name].add(who)
        names = [f"{kind}_{who}" for kind in ("opens", "clicks") for who in ("human", "machine")]
        return {name: found[name] for name in names} | {
            f"{name}_unique": len(who) for name, who in people.items()
        }

    def hasty(self, place: int) -> bool:
        who, _link, _kind, at = self.kept[place]
        theirs = [(when, link) for person, link, _k, when in self.kept if person == who and link is not None]
        if any(link == 0 and abs(when - at) <= timedelta(seconds=60) for when, link in theirs):
            return True
        for start, _link in theirs:
            window = [
                (when, link) for when, link in theirs if timedelta() <= when - start <= timedelta(seconds=5)
            ]
            if start <= at <= start + timedelta(seconds=5) and len({link for _when, link in window}) >= 3:
                return True
        return False


class Killed(BaseException):
    """The loader ends here, as if by a signal."""


@dataclass
class World:
    """The product and the naive model, side by side."""

    app: Flask
    campaign: Campaign
    people: list[int]
    naive: Naive
    clock: datetime = LATER

    def hit(self, who: int, link: int | None, kind: str, seconds: int) -> None:
        at = self.clock + timedelta(seconds=seconds)
        edition = self.campaign.editions[0].id
        spool_hits(self.app, hit_line(edition, self.people[who], link, at=at, agent=AGENTS[kind]))
        self.naive.waiting.append((who, link, kind, at))

    def load(self) -> None:
        load_hits(self.app)
        self.naive.load()

    def kill(self) -> None:
        def store_and_die(hits: Any) -> None:
            store_hits(hits)
            raise Killed

        with suppress(Killed):
            load(spool_folder(self.app), store=store_and_die)
        db.session.rollback()

    def say(self, who: int, state: TrackingState) -> None:
        person = db.session.get(Subscriber, self.people[who])
        if person is None or person.tracking is state:
            return
        person.tracking, person.tracking_chosen_at = state, self.clock
        db.session.commit()
        self.naive.allowed_from[who] = self.clock if state is GRANTED else None

    def erase(self, who: int) -> None:
        if db.session.get(Subscriber, self.people[who]) is not None:
            self.naive.load()
            erase_people([self.people[who]], now=NOW)
            self.naive.allowed_from[who] = None


@pytest.fixture
def make_world(app, send, make_list, make_subscriber) -> Callable[[], World]:
    def make() -> World:
        fi = make_list()
        people = [make_subscriber(lists=[fi], tracking=GRANTED).id for _person in range(PEOPLE)]
        return World(app, send(fi, body=BODY), people, Naive(dict.fromkeys(range(PEOPLE), NOW)))

    return make


someone = st.integers(0, PEOPLE - 1)
hits = st.tuples(
    st.just("hit"), someone, st.sampled_from([None, None, 0, 1, 2, 3, 4]), st.sampled_from(sorted(AGENTS)),
    st.integers(0, 90),
)  # fmt: skip
acts = st.one_of(
    hits, hits, hits,
    st.tuples(st.just("load")), st.tuples(st.just("kill")), st.tuples(st.just("later")),
    st.tuples(st.just("say"), someone, st.sampled_from([GRANTED, REFUSED])),
    st.tuples(st.just("erase"), st.just(3)),
)  # fmt: skip


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.lists(acts, max_size=25))
def test_st2_whatever_happens_the_figures_equal_a_naive_recount(make_world, story):
    world = make_world()

    for verb, *rest in story:
        if verb == "later":
            world.clock += timedelta(minutes=2)
        else:
            getattr(world, verb)(*rest)
    world.load()

    totals = db.session.get_one(CampaignTotals, world.campaign.id, populate_existing=True)
    counted = world.naive.counts()
    assert {name: getattr(totals, name) for name in counted} == counted
    assert verify_campaign(world.campaign.id) == []


# --- new rules -------------------------------------------------------------------------------------


@pytest.fixture
def busy(make_world) -> World:
    world = make_world()
    for who, link, kind, seconds in (
        (0, None, "human", 0), (0, 1, "human", 1), (0, 2, "human", 20), (1, 1, "human", 0), (1, 2, "human", 2),
        (1, None, "human", 50), (2, None, "apple", 0), (2, 1, "proxy", 5), (3, None, "bot", 0),
    ):  # fmt: skip
        world.hit(who, link, kind, seconds)
    world.load()
    return world


def totals_of(campaign: Campaign) -> dict[str, int]:
    totals = db.session.get_one(CampaignTotals, campaign.id, populate_existing=True)
    return {name: getattr(totals, name) for name in ("clicks_human", "clicks_machine", "clicks_unique")}


def test_tr7_stricter_rules_are_applied_to_what_is_kept_and_taken_back_again(busy, monkeypatch):
    before = totals_of(busy.campaign)
    usual = chosen()
    strict = dataclasses.replace(usual, scanner_links=2)

    busy.app.config["NEWSLETTER"] = strict
    changed = [reclassify(), reclassify()]
    under_strict = totals_of(busy.campaign)
    wrong = verify_all()
    busy.app.config["NEWSLETTER"] = usual
    back = reclassify()

    assert (changed, back, wrong) == ([2, 0], 2, (1, []))
    assert (before, under_strict) == (
        {"clicks_human": 5, "clicks_machine": 0, "clicks_unique": 3},
        {"clicks_human": 3, "clicks_machine": 2, "clicks_unique": 2},
    )
    assert (totals_of(busy.campaign), verify_all()) == (before, (1, []))


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    story=st.lists(hits, min_size=1, max_size=15),
    links=st.integers(2, 4),
    seconds=st.sampled_from([1, 3605, 7200]),
)
def test_whatever_the_rules_become_the_figures_follow(make_world, story, links, seconds):
    world = make_world()
    for _verb, *rest in story:
        world.hit(*rest)
    world.load()
    usual = chosen()
    world.app.config["NEWSLETTER"] = dataclasses.replace(usual, scanner_links=links, scanner_seconds=seconds)
    try:
        reclassify()
        differences = verify_campaign(world.campaign.id)
        load_hits(world.app)
        again = reclassify()
    finally:
        world.app.config["NEWSLETTER"] = usual

    assert (differences, again) == ([], 0)


def test_the_rules_that_judged_are_written_on_each_record(busy):
    db.session.execute(sa.update(Event).values(rules_version=1))

    reclassify()

    assert set(db.session.scalars(sa.select(Event.rules_version))) == {2}
    assert Rules.of(chosen()).links == 3


# --- verify ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "column", "what"),
    [
        (CampaignTotals, "opens_human", "opens_human"),
        (CampaignHour, "clicks_human", "clicks_human by hour"),
        (CampaignClass, "count", "by class"),
        (CampaignGroup, "opens_unique", "opens_unique by list"),
        (LinkTotals, "unique_human", "unique_human of link"),
    ],
)
def test_a_number_that_is_wrong_is_found(app, busy, model, column, what):
    assert verify_all() == (1, [])

    db.session.execute(sa.update(model).values({column: getattr(model, column) + 1}))
    db.session.commit()

    found = [difference.what for difference in verify_all()[1]]
    assert any(what in name for name in found)
    answer = app.test_cli_runner().invoke(args=["stats", "verify"])
    assert answer.exit_code == 1
    assert "These figures are not what counting gives" in answer.stderr


def test_the_console_says_that_all_is_well_and_reclassifies(app, busy):
    answers = [
        app.test_cli_runner().invoke(args=["stats", verb, "--json"]) for verb in ("verify", "reclassify")
    ]

    assert [json.loads(answer.stdout) for answer in answers] == [
        {"campaigns": 1, "differences": []},
        {"changed": 0, "version": 2},
    ]


def test_st2_totals_stay_as_plain_numbers_when_everybody_has_gone(busy):
    before = totals_of(busy.campaign)
    groups = sa.select(
        CampaignGroup.dimension, CampaignGroup.name, CampaignGroup.opens_unique, CampaignGroup.measured
    )
    counted = db.session.execute(groups).all()

    erase_people(busy.people, now=NOW)

    assert db.session.scalars(sa.select(Event)).all() == []
    assert db.session.scalars(sa.select(Delivery)).all() == []
    assert (totals_of(busy.campaign), db.session.execute(groups).all(), verify_all()) == (
        before,
        counted,
        (1, []),
    )


def test_records_are_added_up_piece_by_piece(busy, monkeypatch):
    monkeypatch.setattr("newsletter.stats.rollups.verify._BATCH_SIZE", 2)
    assert verify_all() == (1, [])

    db.session.execute(sa.delete(Event).where(Event.id == sa.select(sa.func.max(Event.id)).scalar_subquery()))
    db.session.commit()

    assert len(verify_all()[1]) > 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_counting_again_leaves_the_write_lock_to_others(real_app):
    written = []

    def write(*_statement: object) -> None:
        with closing(sqlite3.connect(str(db.engine.url.database), timeout=0)) as other:
            other.execute("UPDATE walks SET last_id = last_id")
            other.commit()
        written.append(1)

    sa.event.listen(db.engine, "before_cursor_execute", write)
    assert verify_all() == (0, [])
    sa.event.remove(db.engine, "before_cursor_execute", write)

    assert len(written) >= 3
