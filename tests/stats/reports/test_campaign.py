"""The figures: one module computes them, so every page and command says the same."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from selectolax.lexbor import LexborHTMLParser
from sqlalchemy.engine import Engine

from newsletter.campaigns.models import Campaign, CampaignTotals, Edition
from newsletter.db import db
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.stats.reports.campaign import HitCounts, LinkFigures, campaign_figures, recent_hits
from newsletter.stats.rollups.segments import count_due_segments
from newsletter.subscribers.links import UNSUBSCRIBE
from newsletter.subscribers.models import Subscriber, TrackingState
from tests.tracking.hits import APPLE, hit_line, load_hits, spool_hits

GRANTED, REFUSED = TrackingState.GRANTED, TrackingState.REFUSED


@pytest.fixture
def busy(app, send, client, make_list, make_subscriber) -> Campaign:
    """A campaign to four people, three of them measured: two opened, one clicked, one left."""
    fi = make_list(name="Uutiskirje")
    states = [GRANTED, GRANTED, GRANTED, REFUSED]
    one, two, _three, four = [make_subscriber(lists=[fi], tracking=state) for state in states]
    campaign: Campaign = send(fi, body="[a](https://kirja.example/a) [b](https://kirja.example/b)")
    edition = campaign.editions[0].id
    spool_hits(
        app,
        hit_line(edition, one.id), hit_line(edition, one.id), hit_line(edition, two.id),
        hit_line(edition, one.id, 2), hit_line(edition, one.id, 2), hit_line(edition, two.id, 2, agent=APPLE),
    )  # fmt: skip
    load_hits(app)
    leave(client, four, campaign)
    return campaign


def leave(client: Any, reader: Subscriber, campaign: Campaign) -> None:
    client.post(f"/unsubscribe/{UNSUBSCRIBE.make(reader.id, reader.subscriptions[0].list_id, campaign.id)}")


BUSY: dict[str, Any] = {
    "recipients": 4, "queued": 0, "deferred": 0, "accepted": 4, "failed": 0, "bounced": 0, "complained": 0,
    "skipped": 0, "uncertain": 0, "unsubscribed": 1, "measured": 3,
    "opens": {"human": 3, "machine": 0, "unique_human": 2},
    "clicks": {"human": 2, "machine": 1, "unique_human": 1},
    "links": [
        {"url": "https://kirja.example/b", "human": 2, "machine": 1, "unique_human": 1},
        {"url": "https://kirja.example/a", "human": 0, "machine": 0, "unique_human": 0},
    ],
    "as_of": "2026-03-03T09:30:00+00:00",
}  # fmt: skip


# --- the module ------------------------------------------------------------------------------------


def test_the_figures_of_a_campaign(busy, now):
    assert campaign_figures(busy, now).as_dict() == BUSY


def test_a_draft_has_no_figures(make_campaign, now):
    figures = campaign_figures(make_campaign(), now)

    assert (figures.recipients, figures.opens, figures.open_rate, figures.click_rate) == (
        0,
        HitCounts(0, 0, 0),
        None,
        None,
    )


def test_rates_are_shares_of_those_who_allowed_measuring(busy, now):
    figures = campaign_figures(busy, now)

    assert (figures.open_rate, figures.click_rate) == (2 / 3, 1 / 3)


def test_who_did_not_get_it_is_not_in_the_base(
    make_app, make_campaign, make_list, make_subscriber, send_due, smtp_server, now
):
    fi = make_list()
    for number in range(2):
        make_subscriber(f"lukija{number}@example.com", [fi], tracking=GRANTED)
    smtp_server.answer("RCPT", "550 5.1.1 No such person", to="lukija1@example.com")
    campaign = make_campaign([fi])
    start_campaign(campaign.id, now=now, actor="staff:1")

    send_due(make_app(**smtp_server.settings))

    figures = campaign_figures(campaign, now)
    assert (figures.accepted, figures.failed, figures.measured) == (1, 1, 1)


def test_while_it_is_on_its_way_those_who_wait_are_counted(make_campaign, make_list, make_subscriber, now):
    fi = make_list()
    people = [make_subscriber(lists=[fi]) for _person in range(4)]
    campaign = make_campaign([fi])
    start_campaign(campaign.id, now=now, actor="staff:1")
    for person, status in zip(people, ["deferred", "sending", "queued", "queued"], strict=True):
        db.session.get_one(Delivery, (campaign.id, person.id)).status = DeliveryStatus(status)
    db.session.flush()
    count_due_segments(now)
    campaign.totals.accepted += 1  # answered since the deferred were last counted

    figures = campaign_figures(campaign, now)

    assert (figures.recipients, figures.queued, figures.deferred) == (4, 2, 1)


def test_an_address_in_two_editions_is_one_line(
    app, make_campaign, make_list, make_subscriber, send_due, now
):
    fi = make_list()
    readers = [make_subscriber(lists=[fi], language=language, tracking=GRANTED) for language in ("fi", "en")]
    campaign = make_campaign([fi], body="[a](https://kirja.example/a)")
    campaign.editions.append(Edition(language="en", subject="News", body="[a](https://kirja.example/a)"))
    start_campaign(campaign.id, now=now, actor="staff:1")
    send_due()
    for edition, reader in zip(campaign.editions, readers, strict=True):
        spool_hits(app, hit_line(edition.id, reader.id, 1))
    load_hits(app)

    assert campaign_figures(campaign, now).links == [LinkFigures("https://kirja.example/a", 2, 0, 2)]


def test_the_newest_hits_come_first(app, busy):
    newest = recent_hits(busy, 2)

    assert [(hit["kind"], hit["url"], hit["machine_class"]) for hit in newest] == [
        ("click", "https://kirja.example/b", "apple_suspected"),
        ("click", "https://kirja.example/b", "human"),
    ]


def test_figures_stay_when_the_people_have_gone(busy, now):
    db.session.execute(sa.delete(Delivery))
    db.session.execute(sa.delete(Subscriber))

    assert campaign_figures(busy, now).as_dict() == BUSY


# --- everywhere the same ---------------------------------------------------------------------------


@pytest.fixture
def open_page(client, make_staff, log_in) -> Callable[[str], LexborHTMLParser]:
    """Open a page as Anna, in English."""
    make_staff()
    log_in()
    english = {"Accept-Language": "en"}
    return lambda path: LexborHTMLParser(client.get(path, headers=english).get_data(as_text=True))


def test_the_console_says_the_same(app: Flask, busy):
    answer = app.test_cli_runner().invoke(args=["campaigns", "stats", str(busy.id), "--json"])

    printed = json.loads(answer.stdout)
    assert {name: printed[name] for name in BUSY} == BUSY
    assert (printed["id"], printed["subject"], printed["status"]) == (busy.id, "Maaliskuun uutiset", "sent")


def test_the_page_of_a_campaign_says_the_same(busy, open_page):
    found = open_page(f"/staff/campaigns/{busy.id}")

    steps = [
        [node.text() for node in row.css("td.count, strong")] for row in found.css("table.funnel tbody tr")
    ]
    assert steps == [
        ["4"],
        ["4", "100\N{NO-BREAK SPACE}%"],
        ["2", "66.7\N{NO-BREAK SPACE}%"],
        ["1", "33.3\N{NO-BREAK SPACE}%"],
    ]
    names, numbers = (
        [node.text() for node in found.css(".tally dt")],
        [node.text() for node in found.css(".tally dd")],
    )
    assert dict(zip(names, numbers, strict=True)) == {
        "Failed": "0", "Bounced": "0", "Skipped": "0",
        "Uncertain": "0", "Spam complaints": "0", "Unsubscribed": "1", "Opens by people, in all": "3",
        "Clicks by people, in all": "2", "Opens by machines": "0", "Clicks by machines": "1",
    }  # fmt: skip


def test_the_page_of_a_campaign_lists_its_links(busy, open_page):
    found = open_page(f"/staff/campaigns/{busy.id}")

    table = found.css("section[aria-labelledby=links-title] tbody tr")
    assert [[cell.text() for cell in row.css("th, td")] for row in table] == [
        ["https://kirja.example/b", "1", "2", "100\N{NO-BREAK SPACE}%", "1"],
        ["https://kirja.example/a", "0", "0", "0\N{NO-BREAK SPACE}%", "0"],
    ]


def test_the_list_of_campaigns_says_the_same(busy, open_page):
    (row,) = open_page("/staff/campaigns").css("tbody tr")

    assert [" ".join(cell.text().split()) for cell in row.css("td")] == [
        "Sent", "Mar 3, 2026, 11:30 AM", "4", "4", "66.7 % 2 of 3", "33.3 % 1 of 3",
    ]  # fmt: skip


def test_a_draft_in_the_list_has_dashes(make_campaign, open_page):
    make_campaign()

    (row,) = open_page("/staff/campaigns").css("tbody tr")
    assert [cell.text() for cell in row.css("td")] == ["Draft", "–", "–", "–", "–", "–"]


@pytest.mark.parametrize("path", ["/staff/", "/staff/campaigns", "/staff/campaigns/1"])
def test_figures_are_for_staff_only(client, busy, path):
    answer = client.get(path)

    assert (answer.status_code, answer.location.partition("?")[0]) == (302, "/staff/login")


def test_a_campaign_that_is_not_there_is_not_found(client, make_staff, log_in):
    make_staff()
    log_in()

    assert client.get("/staff/campaigns/4711").status_code == 404


# --- long lists ------------------------------------------------------------------------------------


@contextmanager
def counted_queries(engine: Engine) -> Iterator[list[str]]:
    """Collect the statements that go to a database meanwhile."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if not statement.startswith(("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK")):
            statements.append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def test_a_longer_list_takes_no_more_queries(make_campaign, open_page):
    counts = []
    for more in (1, 10):
        for _campaign in range(more):
            make_campaign()
        with counted_queries(db.engine) as statements:
            open_page("/staff/campaigns")
        counts.append(len(statements))

    assert counts[0] == counts[1]


def test_the_list_goes_by_pages_of_twenty_and_back(make_campaign, open_page):
    for number in range(1, 46):
        make_campaign(subject=f"Numero {number}")

    shown = []
    follow = "/staff/campaigns"
    for direction in ("next", "next", "prev", "prev"):
        found = open_page(follow)
        subjects = [node.text() for node in found.css("tbody th a")]
        shown.append((subjects[0], subjects[-1]))
        follow = found.css_first(f"a[rel={direction}]").attributes["href"]

    assert shown == [
        ("Numero 45", "Numero 26"),
        ("Numero 25", "Numero 6"),
        ("Numero 5", "Numero 1"),
        ("Numero 25", "Numero 6"),
    ]


def test_the_list_is_made_from_totals_alone(busy, open_page):
    db.session.get_one(CampaignTotals, busy.id).accepted = 1234

    (row,) = open_page("/staff/campaigns").css("tbody tr")

    assert row.css("td")[3].text() == "1,234"
