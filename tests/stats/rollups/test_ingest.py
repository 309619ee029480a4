"""The totals: what happened, counted once, whoever counts."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from newsletter.campaigns.models import Campaign, CampaignTotals
from newsletter.db import db
from newsletter.stats.rollups.ingest import load_local_logs
from newsletter.subscribers import links as person_links
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.models import Subscriber, TrackingState
from newsletter.subscribers.self_service import unsubscribe
from newsletter.tracking.models import LinkTotals
from tests.tracking.hits import APPLE, THUNDERBIRD, hit_line, load_hits, spool_hits

GRANTED = TrackingState.GRANTED
#: A picture proxy stands for a person, Apple's does not.
AGENTS = {"human": THUNDERBIRD, "proxy": "x GoogleImageProxy", "machine": APPLE}
TWO_LINKS = "[a](https://kirja.example/a) [b](https://kirja.example/b)"


def totals_of(campaign: Campaign) -> dict[str, int]:
    totals = db.session.get_one(CampaignTotals, campaign.id, populate_existing=True)
    names = (
        "opens_human",
        "opens_machine",
        "opens_unique",
        "clicks_human",
        "clicks_machine",
        "clicks_unique",
    )
    return {name: getattr(totals, name) for name in names}


def link_totals_of(campaign: Campaign) -> dict[int, tuple[int, int, int]]:
    edition = campaign.editions[0]
    rows = db.session.scalars(
        sa.select(LinkTotals)
        .where(LinkTotals.edition_id == edition.id)
        .execution_options(populate_existing=True)
    )
    return {row.number: (row.human, row.machine, row.unique_human) for row in rows}


# --- opens and clicks ------------------------------------------------------------------------------


@pytest.fixture
def campaign(send, make_list, make_subscriber) -> Campaign:
    """A campaign with two links that went to two people who allow measuring."""
    fi = make_list()
    for _reader in range(2):
        make_subscriber(lists=[fi], tracking=GRANTED)
    made: Campaign = send(fi, body=TWO_LINKS)
    return made


@pytest.fixture
def readers(campaign) -> list[int]:
    return list(db.session.scalars(sa.select(Subscriber.id).order_by(Subscriber.id)))


@pytest.fixture
def happen(app, campaign) -> Callable[..., None]:
    """Let one web process keep some hits, (person, link or None, agent), and load them."""

    def happen(*hits: tuple[int, int | None, str]) -> None:
        edition = campaign.editions[0].id
        spool_hits(app, *[hit_line(edition, who, number, agent=agent) for who, number, agent in hits])
        load_hits(app)

    return happen


def test_a_person_counts_once_however_often_they_open(campaign, readers, happen):
    happen((readers[0], None, THUNDERBIRD), (readers[0], None, THUNDERBIRD))
    happen((readers[0], None, THUNDERBIRD), (readers[1], None, THUNDERBIRD))

    assert totals_of(campaign) == {
        "opens_human": 4, "opens_machine": 0, "opens_unique": 2,
        "clicks_human": 0, "clicks_machine": 0, "clicks_unique": 0,
    }  # fmt: skip


def test_a_machine_makes_nobody_a_reader(campaign, readers, happen):
    happen((readers[0], None, APPLE), (readers[0], 1, APPLE))

    assert totals_of(campaign) == {
        "opens_human": 0, "opens_machine": 1, "opens_unique": 0,
        "clicks_human": 0, "clicks_machine": 1, "clicks_unique": 0,
    }  # fmt: skip
    assert link_totals_of(campaign) == {1: (0, 1, 0), 2: (0, 0, 0)}


def test_each_link_counts_its_own_readers(campaign, readers, happen):
    happen((readers[0], 1, THUNDERBIRD), (readers[0], 1, THUNDERBIRD), (readers[0], 2, THUNDERBIRD))
    happen((readers[0], 2, THUNDERBIRD), (readers[1], 2, THUNDERBIRD))

    assert link_totals_of(campaign) == {1: (2, 0, 1), 2: (3, 0, 2)}
    assert totals_of(campaign)["clicks_unique"] == 2


hits = st.tuples(st.integers(0, 3), st.sampled_from([None, 1, 2]), st.sampled_from(sorted(AGENTS)))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(st.lists(hits, max_size=12), max_size=4))
def test_totals_equal_a_count_of_all_that_happened(app, send, make_list, make_subscriber, files):
    fi = make_list()
    people = [make_subscriber(lists=[fi], tracking=GRANTED).id for _person in range(4)]
    campaign = send(fi, body=TWO_LINKS)
    edition = campaign.editions[0].id

    for file in files:
        spool_hits(
            app, *[hit_line(edition, people[who], number, agent=AGENTS[kind]) for who, number, kind in file]
        )
        load_hits(app)

    happened = [hit for file in files for hit in file]
    assert totals_of(campaign) == naive_totals(happened)
    assert link_totals_of(campaign) == {1: naive_link(happened, 1), 2: naive_link(happened, 2)}


def naive_totals(happened: list[tuple[int, int | None, str]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, those in (
        ("opens", [hit for hit in happened if hit[1] is None]),
        ("clicks", [hit for hit in happened if hit[1] is not None]),
    ):
        human, machine, unique = naive_counts(those)
        found |= {f"{name}_human": human, f"{name}_machine": machine, f"{name}_unique": unique}
    return found


def naive_link(happened: list[tuple[int, int | None, str]], number: int) -> tuple[int, int, int]:
    return naive_counts([hit for hit in happened if hit[1] == number])


def naive_counts(those: list[tuple[int, int | None, str]]) -> tuple[int, int, int]:
    made_by = Counter("machine" if kind == "machine" else "human" for _who, _number, kind in those)
    people = {who for who, _number, kind in those if kind != "machine"}
    return made_by["human"], made_by["machine"], len(people)


def test_a_person_counts_once_for_the_loaders_of_two_machines(real_app, make_app, make_subscriber, send):
    reader = make_subscriber(tracking=GRANTED).id
    campaign = send(db.session.get_one(Subscriber, reader).subscriptions[0].mailing_list)
    edition = campaign.editions[0].id
    machines = [real_app, make_app()]
    for machine in machines:
        spool_hits(machine, *[hit_line(edition, reader), hit_line(edition, reader, 1)] * 20)
    db.session.rollback()

    with ThreadPoolExecutor(2) as pool:
        loaded = list(pool.map(load_in, machines))

    assert loaded == [40, 40]
    assert totals_of(campaign) == {
        "opens_human": 40, "opens_machine": 0, "opens_unique": 1,
        "clicks_human": 40, "clicks_machine": 0, "clicks_unique": 1,
    }  # fmt: skip
    assert link_totals_of(campaign) == {1: (40, 0, 1)}


def load_in(app: Flask) -> int:
    with app.app_context():
        return load_local_logs()


# --- those who left --------------------------------------------------------------------------------


def unsubscribed(campaign: Campaign) -> int:
    return db.session.get_one(CampaignTotals, campaign.id, populate_existing=True).unsubscribed


def way_out(reader: Subscriber, campaign: Campaign) -> str:
    token = person_links.UNSUBSCRIBE.make(reader.id, reader.subscriptions[0].list_id, campaign.id)
    return f"/unsubscribe/{token}"


def test_leaving_by_a_newsletters_link_counts_once(client, make_subscriber, send):
    reader = make_subscriber()
    campaign = send(reader.subscriptions[0].mailing_list)

    for fields in (
        {"List-Unsubscribe": "One-Click"},
        {},
        {"undo": "yes", "lists": "lista-1"},
        {"scope": "all"},
    ):
        client.post(way_out(reader, campaign), data=fields)

    assert unsubscribed(campaign) == 1


def test_leaving_counts_for_the_newsletter_whose_link_it_was(client, make_subscriber, send):
    reader = make_subscriber()
    campaigns = [send(reader.subscriptions[0].mailing_list) for _issue in range(2)]

    client.post(way_out(reader, campaigns[0]))

    assert [unsubscribed(campaign) for campaign in campaigns] == [1, 0]


def test_leaving_from_ones_own_details_counts_for_no_newsletter(client, make_subscriber, send):
    reader = make_subscriber()
    campaign = send(reader.subscriptions[0].mailing_list)

    client.post(f"/preferences/{person_links.PREFERENCES.make(reader.id)}", data={"action": "leave"})

    assert unsubscribed(campaign) == 0


@pytest.mark.parametrize("engine", ["postgresql"])
def test_leaving_while_opens_are_folded_fails_neither(real_app, make_subscriber, send, now):
    """Whoever needs both the totals and a delivery locks the totals first, or the two wait for each other."""
    reader = make_subscriber(tracking=GRANTED)
    campaign = send(reader.subscriptions[0].mailing_list)
    spool_hits(real_app, hit_line(campaign.editions[0].id, reader.id))

    def leave() -> None:
        with real_app.app_context():
            who = db.session.get_one(Subscriber, reader.id)
            unsubscribe.unsubscribe_from(
                who, None, now=now, method="page", visit=Visit(ip=""), campaign_id=campaign.id
            )
            db.session.commit()

    db.session.rollback()
    with ThreadPoolExecutor(2) as pool:
        db.session.execute(
            sa.select(CampaignTotals).where(CampaignTotals.campaign_id == campaign.id).with_for_update()
        )
        folding = pool.submit(load_in, real_app)
        wait_for_waiting(real_app, 1)
        leaving = pool.submit(leave)
        wait_for_waiting(real_app, 2)
        db.session.rollback()
        folding.result()
        leaving.result()

    assert (totals_of(campaign)["opens_unique"], unsubscribed(campaign)) == (1, 1)


def wait_for_waiting(app: Flask, number: int) -> None:
    """Wait until so many sessions of this database wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with db.engine.connect() as connection:
            if connection.scalar(sa.text(waiting)) == number:
                return
        time.sleep(0.01)
    raise AssertionError(f"never {number} waited")
