"""The archive: what went to a public list, for everybody, with nothing personal in it."""

from xml.etree import ElementTree as ET

import pytest
from selectolax.lexbor import LexborHTMLParser

from newsletter.campaigns.content.compose import compose
from newsletter.campaigns.models import CampaignStatus, Edition
from newsletter.db import db
from tests.subscribers.pages import Page
from tests.support.clock import NOW

ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture
def public(make_list):
    return make_list("suomeksi", "Uutiskirje", topics="Uutuudet")


@pytest.fixture
def send(make_campaign):
    """Make a campaign that has been sent to some lists."""

    def send(lists, **draft):
        made = make_campaign(lists, **draft)
        made.status, made.started_at = CampaignStatus.SENT, NOW
        db.session.commit()
        return made

    return send


def test_the_archive_lists_what_public_lists_got(client, public, make_list, make_campaign, send):
    private = make_list("sisäinen", "Sisäinen", is_public=False)
    send([public], subject="Maaliskuun uutiset")
    send([private], subject="Vain meille")
    make_campaign([public], subject="Vielä luonnos")

    page = Page(client.get("/archive?lang=fi"))

    assert page.texts("main h2") == ["Uutiskirje"]
    assert page.texts(".issues a") == ["Maaliskuun uutiset"]
    assert Page(client.get("/archive/lists/suomeksi?lang=fi")).texts(".issues a") == ["Maaliskuun uutiset"]
    assert client.get("/archive/lists/sisäinen").status_code == 404


def test_a_newsletter_in_the_browser_has_no_tracking_and_nothing_personal(client, public, send):
    campaign = send([public], body="# Uutiset\n\n[Lue](https://kirja.example/)", preview="Lyhyesti")

    answer = client.get(f"/archive/{campaign.id}?lang=fi")

    page = LexborHTMLParser(answer.text)
    assert page.css_first("html").attributes["lang"] == "fi"
    assert [link.attributes["href"] for link in page.css("td.sheet a")] == ["https://kirja.example/"]
    for foreign in ("mark.invalid", "/o/", "/c/", "/unsubscribe", "/preferences", "<script", "Lyhyesti"):
        assert foreign not in answer.text
    assert page.css("img") == []
    assert "Set-Cookie" not in answer.headers
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';")
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("status", [CampaignStatus.DRAFT, CampaignStatus.SCHEDULED])
def test_what_has_not_been_sent_is_not_there(client, public, make_campaign, status):
    campaign = make_campaign([public])
    campaign.status = status
    db.session.commit()

    assert client.get(f"/archive/{campaign.id}").status_code == 404


def test_what_went_to_private_lists_alone_is_not_there(client, make_list, public, send):
    private = make_list(is_public=False)

    assert client.get(f"/archive/{send([private]).id}").status_code == 404
    assert client.get(f"/archive/{send([private, public]).id}").status_code == 200
    assert client.get("/archive/4711").status_code == 404


def test_a_newsletter_speaks_the_language_asked_for_if_it_was_written_in_it(client, public, send):
    campaign = send([public], subject="Maaliskuun uutiset")
    campaign.editions.append(Edition(language="en", subject="March news", body="Hello!"))
    db.session.commit()

    titles = {
        code: LexborHTMLParser(client.get(f"/archive/{campaign.id}?lang={code}").text)
        .css_first("title")
        .text()
        for code in ("fi", "en")
    }
    assert titles == {"fi": "Maaliskuun uutiset", "en": "March news"}


def test_mf2_a_mail_to_a_public_list_links_to_its_page_in_both_parts(public, make_list, make_campaign):
    open_, closed = make_campaign([public]), make_campaign([make_list(is_public=False)])
    address = f"http://127.0.0.1:8000/archive/{open_.id}?lang=fi"

    parts = compose(open_.editions[0])

    assert [link.attributes["href"] for link in LexborHTMLParser(parts.html).css("td.open a")] == [address]
    assert address in parts.text.splitlines()
    assert address not in parts.links
    assert "/archive/" not in compose(closed.editions[0]).html


def test_the_atom_feed_is_well_formed_whatever_the_subject(client, public, send):
    campaign = send([public], subject="Kirjat & <kahvi>", preview="Lyhyesti")

    answer = client.get("/archive/lists/suomeksi/atom.xml")

    feed = ET.fromstring(answer.data)
    assert answer.headers["Content-Type"] == "application/atom+xml; charset=utf-8"
    assert feed.findtext(f"{ATOM}title") == "Uutiskirje"
    (entry,) = feed.findall(f"{ATOM}entry")
    address = f"http://127.0.0.1:8000/archive/{campaign.id}?lang=fi"
    assert [entry.findtext(f"{ATOM}{name}") for name in ("title", "id", "updated", "summary")] == [
        "Kirjat & <kahvi>", address, NOW.isoformat(), "Lyhyesti",
    ]  # fmt: skip
    assert entry.find(f"{ATOM}link").attrib["href"] == address


def test_the_rss_feed_says_the_same(client, public, send):
    send([public], subject="Kirjat & <kahvi>")

    answer = client.get("/archive/lists/suomeksi/rss.xml")

    assert answer.headers["Content-Type"] == "application/rss+xml; charset=utf-8"
    (item,) = ET.fromstring(answer.data).iter("item")
    assert item.findtext("title") == "Kirjat & <kahvi>"
    assert item.findtext("guid").startswith("http://127.0.0.1:8000/archive/")


@pytest.mark.parametrize("kind", ["atom", "rss"])
def test_an_empty_feed_is_a_feed(client, public, kind):
    assert ET.fromstring(client.get(f"/archive/lists/suomeksi/{kind}.xml").data) is not None
