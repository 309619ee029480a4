"""The pages of figures: what they say, to whom, and what they keep to themselves."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa
from selectolax.lexbor import LexborHTMLParser

from newsletter.campaigns.drafts import get_campaign_lists
from newsletter.campaigns.models import Campaign
from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.staff.api_tokens import create_token
from newsletter.staff.models import Role
from newsletter.stats.reports.breakdown import timeline
from newsletter.stats.reports.subscriber_activity import PAGE_SIZE
from newsletter.stats.rollups.list_growth import count_list_days
from newsletter.stats.rollups.periodic import run_periodic_tasks
from newsletter.subscribers.models import Subscriber, SubscriptionStatus, TrackingState
from newsletter.tracking.hit_log import LostHits
from tests.staff.conftest import sign_in_as
from tests.stats.reports.test_campaign import counted_queries
from tests.support.clock import NOW
from tests.tracking.hits import APPLE, LATER, THUNDERBIRD, hit_line, load_hits, spool_hits

GRANTED = TrackingState.GRANTED
ENGLISH = {"Accept-Language": "en"}
on_one_engine = pytest.mark.parametrize("engine", ["sqlite"])


@pytest.fixture
def enter(app, client, make_staff, monkeypatch) -> Callable[..., None]:
    """Be signed in with a role, where real people read: with a mail server."""

    def sign_in(role: Role = Role.VIEWER) -> None:
        real = replace(app.config["NEWSLETTER"], mail_server="mail.example")
        monkeypatch.setitem(app.config, "NEWSLETTER", real)
        made = make_staff(email=f"{role.value}@kirjakauppa.example", role=role)
        sign_in_as(client, made)

    return sign_in


@pytest.fixture
def read(client) -> Callable[[str], LexborHTMLParser]:
    return lambda path: LexborHTMLParser(client.get(path, headers=ENGLISH).get_data(as_text=True))


@pytest.fixture
def campaign(app, clock, send, make_list, make_subscriber) -> Campaign:
    """To twelve people: seven opened, two of them through a proxy, six clicked link 1, one link 2."""
    fi = make_list("uutiset", "Uutiskirje")
    domains = ["gmail.com"] * 6 + ["kirja.example"] * 6
    people = [
        make_subscriber(f"lukija{n}@{domain}", [fi], tracking=GRANTED).id for n, domain in enumerate(domains)
    ]
    made: Campaign = send(fi, body="[a](https://kirja.example/a) [b](https://kirja.example/b)")
    edition = made.editions[0].id
    lines = [
        hit_line(
            edition, who, agent="x GoogleImageProxy" if n < 2 else THUNDERBIRD, at=LATER + timedelta(hours=n)
        )
        for n, who in enumerate(people[:7])
    ]
    lines += [hit_line(edition, who, 1) for who in people[:6]]
    lines += [hit_line(edition, people[6], 2), hit_line(edition, people[8], agent=APPLE)]
    spool_hits(app, *lines)
    load_hits(app)
    clock.move_to(NOW + timedelta(days=1))
    run_periodic_tasks(NOW + timedelta(days=1))
    return made


def cells_of(found: LexborHTMLParser, section: str) -> list[list[str]]:
    rows = found.css(f"section[aria-labelledby={section}] tbody tr")
    return [[" ".join(cell.text().split()) for cell in row.css("th, td")] for row in rows]


# --- each page -------------------------------------------------------------------------------------

PAGES = ("/staff/overview", "/staff/overview.csv", "/staff/campaigns", "/staff/campaigns/{0}", "/staff/campaigns/{0}.csv",
         "/staff/campaigns/{0}/letter/{1}", "/staff/lists/uutiset")  # fmt: skip


@on_one_engine
def test_totals_are_for_everybody_who_is_signed_in(client, campaign, enter):
    answers = {}
    for role in Role:
        enter(role)
        for path in PAGES:
            answers[role, path] = client.get(path.format(campaign.id, campaign.editions[0].id)).status_code

    assert answers == dict.fromkeys(product(Role, PAGES), 200)


@on_one_engine
def test_figures_are_for_nobody_else(client, campaign):
    paths = [path.format(campaign.id, campaign.editions[0].id) for path in (*PAGES, "/staff/readers")]

    answers = [client.get(path) for path in paths]

    assert [(answer.status_code, answer.location.partition("?")[0]) for answer in answers] == [
        (302, "/staff/login")
    ] * len(paths)


@on_one_engine
def test_an_empty_page_says_what_will_be_here(client, enter):
    enter()

    pages = [client.get(path, headers=ENGLISH).text for path in ("/staff/overview", "/staff/campaigns")]

    assert ["yet" in page for page in pages] == [True, True]


def test_a_page_takes_no_more_queries_for_more_campaigns(client, campaign, enter, make_campaign):
    enter()
    counts = []
    for _more in range(2):
        with counted_queries(db.engine) as statements:
            client.get("/staff/overview")
            client.get("/staff/lists/uutiset")
        counts.append(len(statements))
        for _campaign in range(4):
            start_campaign(make_campaign([campaign_list(campaign)]).id, now=NOW, actor="staff:1")
        db.session.commit()

    assert counts[0] == counts[1]


def campaign_list(campaign: Campaign) -> Any:
    return get_campaign_lists(campaign)[0]


# --- small cells -----------------------------------------------------------------------------------


def test_st3_small_cells_are_hidden_from_all_but_the_privacy_level(campaign, enter, read):
    shown = {}
    for role in (Role.ADMIN, Role.PRIVACY):
        enter(role)
        found = read(f"/staff/campaigns/{campaign.id}")
        shown[role] = cells_of(found, "links-title")

    assert shown == {
        Role.ADMIN: [
            ["https://kirja.example/a", "6", "6", "–", "0"],
            ["https://kirja.example/b", "under 5", "under 5", "–", "0"],
        ],
        Role.PRIVACY: [
            ["https://kirja.example/a", "6", "6", "85.7 %", "0"],
            ["https://kirja.example/b", "1", "1", "14.3 %", "0"],
        ],
    }


def test_st3_how_small_is_a_setting(client, campaign, enter, read, app):
    enter()

    found = LexborHTMLParser(client.get(f"/staff/campaigns/{campaign.id}", headers=ENGLISH).text)

    assert "Counts under 5 are not given exactly" in found.text()


def test_st3_a_file_hides_small_counts_and_runs_no_formula(client, campaign, enter):
    enter()

    rows = list(csv.reader(client.get(f"/staff/campaigns/{campaign.id}.csv").text.splitlines()))

    values = {(part, name, measure): value for part, name, measure, value, _as_of in rows[1:]}
    assert values["link", "https://kirja.example/b", "unique_human"] == "<5"
    assert values["link", "https://kirja.example/a", "unique_human"] == "6"
    assert values["campaign", "opens", "unique_human"] == "7"


# --- the same everywhere ---------------------------------------------------------------------------


def test_st1_page_file_console_and_api_say_the_same(app, client, campaign, enter, read):
    enter(Role.PRIVACY)
    _made, key = create_token(
        name="Testi", scopes=["figures:read"], lists=None, days=1, now=utcnow(), actor="console"
    )
    db.session.commit()

    page = read(f"/staff/campaigns/{campaign.id}")
    rows = list(csv.reader(client.get(f"/staff/campaigns/{campaign.id}.csv").text.splitlines()))[1:]
    console = json.loads(
        app.test_cli_runner().invoke(args=["campaigns", "stats", str(campaign.id), "--json"]).stdout
    )

    api = client.get(f"/api/v1/campaigns/{campaign.id}/figures", headers={"Authorization": f"Bearer {key}"})

    assert {name: value for name, value in api.json.items() if name != "as_of"} == {
        name: console[name] for name in api.json if name != "as_of"
    }
    from_file = {
        (name, measure): int(value) for part, name, measure, value, _at in rows if part == "campaign"
    }
    from_page = [int(node.text()) for node in page.css("table.funnel td.count")]
    assert from_page == [12, 12, 7, 7]
    assert [from_file["", "recipients"], from_file["", "accepted"]] == from_page[:2]
    for kind in ("opens", "clicks"):
        assert {name: from_file[kind, name] for name in ("human", "machine", "unique_human")} == console[kind]
    assert [console["opens"]["unique_human"], console["clicks"]["unique_human"]] == from_page[2:]
    links = {(name, measure): int(value) for part, name, measure, value, _at in rows if part == "link"}
    assert {(link["url"], "human"): link["human"] for link in console["links"]} == {
        key: value for key, value in links.items() if key[1] == "human"
    }


def test_st1_each_rate_names_its_base(campaign, enter, read):
    enter()

    steps = [
        " ".join(cell.text().split()) for cell in read(f"/staff/campaigns/{campaign.id}").css("td.share")
    ]

    assert steps == [
        "",
        "100 % of 12 recipients",
        "58.3 % of 12 who allowed measuring",
        "58.3 % of 12 who allowed measuring",
    ]


def test_a_campaign_by_language_list_and_provider(campaign, enter, read):
    enter(Role.PRIVACY)

    assert cells_of(read(f"/staff/campaigns/{campaign.id}"), "groups-title") == [
        ["Suomi", "12", "12", "12", "58.3 % 7", "58.3 % 7", "0"],
        ["Uutiskirje", "12", "12", "12", "58.3 % 7", "58.3 % 7", "0"],
        ["Gmail", "6", "6", "6", "100 % 6", "100 % 6", "0"],
        ["kirja.example", "6", "6", "6", "16.7 % 1", "16.7 % 1", "0"],
    ]


def test_people_and_machines_are_drawn_apart_with_a_table_behind(campaign, enter, read):
    enter(Role.PRIVACY)
    found = read(f"/staff/campaigns/{campaign.id}")

    (opens, clicks) = found.css("figure.chart")
    assert (len(opens.css("rect.fill")), len(opens.css("rect.machine"))) == (7, 1)
    assert (len(clicks.css("rect.fill")), len(clicks.css("rect.machine"))) == (1, 0)
    assert cells_of(found, "time-title")[0] == ["Mar 3, 2026, 12:00 PM", "1", "1", "7", "0"]
    assert found.css("[style], main script") == []


def test_after_three_days_a_quiet_day_between_others_is_a_day_too(app, campaign):
    edition, person = campaign.editions[0].id, db.session.scalars(sa.select(Subscriber.id)).first()
    spool_hits(app, *[hit_line(edition, person, at=LATER + timedelta(days=days)) for days in (4, 7)])
    load_hits(app)

    days = timeline(campaign, NOW + timedelta(days=9)).days

    assert [(f"{day.begins:%d.%m.}", day.opens_human) for day in days] == [
        ("07.03.", 1), ("08.03.", 0), ("09.03.", 0), ("10.03.", 1),
    ]  # fmt: skip


def test_the_newsletter_itself_has_shares_over_its_links_and_leads_nowhere(client, campaign, enter):
    enter(Role.PRIVACY)

    answer = client.get(f"/staff/campaigns/{campaign.id}/letter/{campaign.editions[0].id}", headers=ENGLISH)

    found = LexborHTMLParser(answer.text)
    assert [node.text() for node in found.css("span[title]")] == [
        "85.7\N{NO-BREAK SPACE}%",
        "14.3\N{NO-BREAK SPACE}%",
    ]
    assert found.css("a[href], script, img[src*=pixel]") == []
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert client.get(f"/staff/campaigns/{campaign.id}/letter/4711").status_code == 404


def test_a_campaign_stands_beside_another_or_the_usual(client, campaign, send, enter, read):
    other = send(campaign_list(campaign))
    enter()

    def compared(what: object) -> list[list[str]]:
        return cells_of(read(f"/staff/campaigns/{campaign.id}?with={what}"), "compare-title")

    assert compared(other.id)[1] == ["Opened, of those who allowed measuring", "58.3 %", "0 %"]
    assert compared(f"list-{campaign_list(campaign).id}")[1][2] == "0 %"
    assert [compared(nonsense) for nonsense in ("", "x", "list-99", campaign.id)] == [[], [], [], []]
    assert client.get(f"/staff/campaigns/{campaign.id}?with=4711").status_code == 404


def test_the_best_time_is_a_map_of_first_opens(campaign, enter, read):
    enter(Role.PRIVACY)

    rows = cells_of(read("/staff/lists/uutiset"), "heat-title")

    assert rows[1] == ["Tuesday", "0", "0", "0", "0", "3", "3", "1", "0"]


def test_the_best_time_is_told_by_the_clock_on_the_wall_of_its_day(app, campaign, enter, read, clock):
    """In Helsinki the clocks go forward on 29 March 2026: 9 o'clock is 7, then 6 in UTC."""
    edition = campaign.editions[0].id
    quiet = db.session.scalars(sa.select(Subscriber.id).order_by(Subscriber.id.desc()).limit(3)).all()
    moments = [datetime(2026, 3, 28, 7, tzinfo=UTC), datetime(2026, 3, 29, 6, tzinfo=UTC)]
    moments.append(datetime(2026, 3, 29, 5, 59, tzinfo=UTC))
    spool_hits(app, *[hit_line(edition, who, at=at) for who, at in zip(quiet, moments, strict=True)])
    load_hits(app)
    clock.move_to(datetime(2026, 4, 2, tzinfo=UTC))
    enter(Role.PRIVACY)

    rows = cells_of(read("/staff/lists/uutiset"), "heat-title")

    assert rows[5:7] == [
        ["Saturday", "0", "0", "0", "1", "0", "0", "0", "0"],
        ["Sunday", "0", "0", "1", "1", "0", "0", "0", "0"],
    ]


# --- lists -----------------------------------------------------------------------------------------


def test_growth_counts_who_joined_and_left_by_day_and_survives_them(make_list, make_subscriber, enter, read):
    fi = make_list("uutiset")
    for days in (0, 0, 1, 40):
        person = make_subscriber(lists=[fi])
        person.subscriptions[0].confirmed_at = NOW - timedelta(days=days)
    gone = make_subscriber(lists=[fi], status=SubscriptionStatus.UNSUBSCRIBED)
    gone.subscriptions[0].confirmed_at = NOW - timedelta(days=50)
    db.session.commit()
    count_list_days(NOW)
    db.session.execute(sa.delete(Subscriber).where(Subscriber.id == gone.id))
    db.session.commit()
    count_list_days(NOW)
    enter(Role.PRIVACY)

    growth = cells_of(read("/staff/overview?days=30"), "lists-title")
    days = cells_of(read("/staff/lists/uutiset?days=90"), "growth-title")

    assert growth[0][1:5] == ["4", "3", "1", "–"]
    assert days == [
        ["Mar 3, 2026", "2", "1", "4"],
        ["Mar 2, 2026", "1", "0", "3"],
        ["Jan 22, 2026", "1", "0", "2"],
        ["Jan 12, 2026", "1", "0", "1"],
    ]


def test_what_needs_attention_is_said(app, client, campaign, enter, read):
    campaign.totals.uncertain, campaign.totals.failed, campaign.totals.complained = 2, 3, 1
    db.session.commit()
    LostHits(app.config["NEWSLETTER"].instance_path / "hits_lost").add()
    enter(Role.ADMIN)

    said = [" ".join(item.text().split()) for item in read("/staff/overview").css(".concerns li")]

    assert said[:4] == [
        "Maaliskuun uutiset: Whether these arrived is uncertain: 2 of 12. They are never sent again by themselves.",
        "Maaliskuun uutiset: Failed: 3 of 12 recipients.",
        "Maaliskuun uutiset: Called spam by: 1 of 12 whose mail was accepted.",
        "Opens and clicks that could not be written down, because the disk was full: 1.",
    ]


# --- one person ------------------------------------------------------------------------------------


@on_one_engine
def test_st3_a_persons_events_are_for_the_privacy_level_only(client, campaign, enter):
    answers = {}
    for role in Role:
        enter(role)
        answers[role] = (
            client.get("/staff/readers").status_code,
            "readers" in client.get("/staff/overview").text,
        )

    assert answers == dict.fromkeys(Role, (403, False)) | {Role.PRIVACY: (200, True)}


def test_st3_a_look_at_a_person_is_logged_and_a_proxys_address_is_not_theirs(client, campaign, enter, submit):
    enter(Role.PRIVACY)

    answers = [
        LexborHTMLParser(submit("/staff/readers", address=address, lang="en").text)
        for address in ("lukija0@gmail.com", "lukija3@gmail.com")
    ]

    proxied, own = [cells_of(found, "events-title") for found in answers]
    assert [row[4] for row in proxied] == ["203.0.113.7", "–"]
    assert [row[1] for row in own] == ["Click", "Open"]
    assert own[1][5] == "Reader"
    looks = db.session.scalars(
        sa.select(AuditEntry).where(AuditEntry.action.like("opens and clicks%")).order_by(AuditEntry.id)
    ).all()
    ids = [
        db.session.scalar(sa.select(Subscriber.id).where(Subscriber.address_key == address))
        for address in ("lukija0@gmail.com", "lukija3@gmail.com")
    ]
    assert [entry.object for entry in looks] == [f"subscriber:{number}" for number in ids]


def test_a_persons_events_fill_several_pages_with_none_twice_and_none_left_out(
    app, client, campaign, enter, submit
):
    edition = campaign.editions[0].id
    keys = ("lukija3@gmail.com", "lukija4@gmail.com")
    people = db.session.scalars(sa.select(Subscriber.id).where(Subscriber.address_key.in_(keys))).all()
    times = [LATER + timedelta(days=9, minutes=minute) for minute in range(PAGE_SIZE + 5)]
    spool_hits(app, *[hit_line(edition, person, at=at) for at in times for person in people])
    load_hits(app)
    enter(Role.PRIVACY)

    pages = [submit("/staff/readers", address="lukija3@gmail.com", lang="en")]
    while older := LexborHTMLParser(pages[-1].text).css_first("input[name=before]"):
        before = older.attributes["value"]
        pages.append(submit("/staff/readers", address="lukija3@gmail.com", lang="en", before=before))

    shown = [cells_of(LexborHTMLParser(page.text), "events-title") for page in pages]
    # Two are of the campaign itself.
    assert [len(rows) for rows in shown] == [PAGE_SIZE, 7]
    minutes = [row[0] for rows in shown for row in rows]
    assert len(set(minutes[: PAGE_SIZE + 5])) == PAGE_SIZE + 5
    assert [("Newest" in page.text, "Older" in page.text) for page in pages] == [(False, True), (True, False)]


@pytest.mark.parametrize("address", ["nobody@example.com", "no address", ""])
def test_who_is_not_here_is_said_on_the_form(client, campaign, enter, submit, address):
    enter(Role.PRIVACY)

    answer = submit("/staff/readers", address=address, lang="en")

    assert (answer.status_code, "error" in answer.text) == (422, True)
