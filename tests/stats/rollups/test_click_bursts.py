"""Clicks that turn out to be a machine's are counted back, whenever the others arrive."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import Campaign, CampaignTotals
from newsletter.db import db
from newsletter.sending.models import Delivery
from newsletter.stats.rollups.click_bursts import delete_old_clicks
from newsletter.stats.rollups.verify import verify_all
from newsletter.subscribers.models import TrackingState
from newsletter.tracking.models import Event, LinkTotals, MachineClass, RecentClick
from tests.tracking.hits import LATER, hit_line, load_hits, spool_hits

BODY = " ".join(f"[{n}](https://kirja.example/{n})" for n in range(1, 5))


@pytest.fixture
def reader(make_subscriber):
    return make_subscriber(tracking=TrackingState.GRANTED)


@pytest.fixture
def campaign(send, reader) -> Campaign:
    made: Campaign = send(reader.subscriptions[0].mailing_list, body=BODY)
    return made


@pytest.fixture
def click(app, campaign, reader) -> Callable[..., None]:
    """Click links at some seconds, and load."""

    def click(*when_and_link: tuple[float, int]) -> None:
        edition = campaign.editions[0].id
        spool_hits(
            app,
            *[
                hit_line(edition, reader.id, link, at=LATER + timedelta(seconds=seconds))
                for seconds, link in when_and_link
            ],
        )
        load_hits(app)
        assert verify_all() == (1, [])

    return click


def figures(campaign: Campaign) -> tuple[int, int, int]:
    totals = db.session.get_one(CampaignTotals, campaign.id, populate_existing=True)
    return totals.clicks_human, totals.clicks_machine, totals.clicks_unique


def links(campaign: Campaign) -> list[tuple[int, int, int]]:
    rows = db.session.scalars(
        sa.select(LinkTotals)
        .where(LinkTotals.edition_id == campaign.editions[0].id)
        .order_by(LinkTotals.number)
        .execution_options(populate_existing=True)
    )
    return [(row.human, row.machine, row.unique_human) for row in rows]


def test_tr7_three_links_in_five_seconds_are_a_machines_though_two_were_counted(campaign, click):
    click((0, 1), (1, 2))
    before = figures(campaign)

    click((4, 3))

    assert (before, figures(campaign)) == ((2, 0, 1), (0, 3, 0))
    assert links(campaign) == [(0, 1, 0), (0, 1, 0), (0, 1, 0), (0, 0, 0)]


def test_tr7_two_new_links_after_one_counted_before_are_three_in_haste(campaign, click):
    click((0, 1))

    click((1, 2), (4, 3))

    assert (figures(campaign), links(campaign)[:2]) == ((0, 3, 0), [(0, 1, 0), (0, 1, 0)])


def test_one_link_followed_again_and_again_is_no_haste(campaign, click):
    click((0, 1), (1, 1))
    click((2, 1))

    click((3, 2))

    assert (figures(campaign), links(campaign)[:2]) == ((4, 0, 1), [(3, 0, 1), (1, 0, 1)])


def test_an_earlier_click_of_the_person_keeps_them_counted(campaign, click):
    click((0, 1))
    click((100, 1), (101, 2))
    click((102, 3))

    assert figures(campaign) == (1, 3, 1)
    assert links(campaign)[0] == (1, 1, 1)


def test_a_later_click_of_the_person_stands_in(campaign, click, reader):
    click((100, 1), (101, 2), (50, 1))
    click((102, 3))
    click((300, 2))

    assert figures(campaign) == (2, 3, 1)
    assert links(campaign)[:2] == [(1, 1, 1), (1, 1, 1)]
    delivery = db.session.get_one(Delivery, (campaign.id, reader.id), populate_existing=True)
    assert delivery.first_click_at == LATER + timedelta(seconds=50)


def test_tr7_the_link_nobody_sees_gives_its_neighbours_away(campaign, click):
    click((0, 1))
    click((50, 0))
    click((70, 2), (200, 3))

    assert figures(campaign) == (1, 3, 1)
    assert links(campaign) == [(0, 1, 0), (0, 1, 0), (1, 0, 1), (0, 0, 0)]


def test_only_the_clicks_of_the_last_minutes_are_remembered(campaign, click, now):
    click((0, 1))
    kept = db.session.scalar(sa.select(sa.func.count()).select_from(RecentClick))

    forgotten = [delete_old_clicks(now + timedelta(minutes=minutes)) for minutes in (2, 4)]

    assert (kept, forgotten) == (1, [0, 1])


def test_a_person_may_click_as_many_links_as_they_like_in_their_own_time(campaign, click):
    for number in range(1, 5):
        click((number * 10, number))

    assert figures(campaign) == (4, 0, 1)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"mail_server": "mail.example"}, [MachineClass.SCANNER] * 2 + [MachineClass.HUMAN]),
        ({}, [MachineClass.HUMAN] * 3),  # no scanner sits before the built-in mailbox
    ],
)
def test_a_hit_right_after_acceptance_is_a_machines(
    app, campaign, reader, now, monkeypatch, settings, expected
):
    monkeypatch.setitem(app.config, "NEWSLETTER", replace(app.config["NEWSLETTER"], **settings))
    edition = campaign.editions[0].id
    for seconds in (0, 9, 10):
        spool_hits(app, hit_line(edition, reader.id, at=now + timedelta(seconds=seconds)))
    load_hits(app)

    classes = db.session.scalars(sa.select(Event.machine_class).order_by(Event.at)).all()
    assert classes == expected
