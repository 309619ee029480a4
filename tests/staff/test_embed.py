"""The form on other sites: the code that staff copy, and who may show or send what it leads to."""

from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from selectolax.lexbor import LexborHTMLParser

from newsletter.db import db
from newsletter.mail.models import OutboxMail
from newsletter.subscribers.consent.texts import get_consent_text
from newsletter.subscribers.models import Consent, Purpose

SITE = "https://www.kirjakauppa.example"


@pytest.fixture(autouse=True)
def lists(make_list):
    return [
        make_list("suomeksi", "Suomenkielinen uutiskirje", topics="Uutuudet", frequency="Kerran kuussa"),
        make_list("in-english", "Newsletter in English", language="en"),
    ]


@pytest.fixture
def codes(client, enter):
    """Return what the staff page offers to copy: ``codes("lists=suomeksi")``."""
    enter()

    def read(query="", language="fi"):
        page = LexborHTMLParser(client.get(f"/staff/embed?form_language={language}&{query}").text)
        return {
            str(area.attributes["id"]).removesuffix("-code"): area.text() for area in page.css("textarea")
        }

    return read


@pytest.fixture
def client_of(make_app):
    """Return a browser at an instance that lets these sites show the form."""

    def make(*origins):
        app = make_app(embed_origins=",".join(origins))
        return app.test_client()

    return make


def fields(code):
    return {
        (item.attributes["name"], item.attributes["value"])
        for item in LexborHTMLParser(code).css("input")
        if item.attributes.get("name") != "email"
    }


@pytest.mark.parametrize("language", ["fi", "en"])
def test_the_plain_form_has_the_exact_words_of_both_consents(codes, language):
    form = codes("lists=suomeksi&lists=in-english", language)["form"]

    labels = [label.text() for label in LexborHTMLParser(form).css("label")][-2:]
    assert labels == [get_consent_text(purpose, language) for purpose in Purpose]


def test_nothing_in_the_plain_form_is_ticked_beforehand(codes):
    form = codes("lists=suomeksi&lists=in-english")["form"]

    assert "checked" not in form
    assert fields(form) == {
        ("lang", "fi"),
        ("lists", "suomeksi"),
        ("lists", "in-english"),
        ("consent", "yes"),
        ("tracking", "yes"),
    }


def test_the_plain_form_says_what_a_visitor_must_know_before_the_button(codes):
    form = LexborHTMLParser(codes("lists=suomeksi")["form"])

    before = form.text().partition("Tilaa\n")[0]
    for told in ("Suomenkielinen uutiskirje · Uutuudet · Kerran kuussa", "Lähettäjä: Kirjakauppa Oy"):
        assert told in before
    assert form.css("a")[0].attributes["href"] == "http://127.0.0.1:8000/privacy?lang=fi"


def test_a_post_of_the_plain_form_from_another_site_subscribes(codes, app):
    form = codes("lists=suomeksi")["form"]
    target = urlsplit(LexborHTMLParser(form).css("form")[0].attributes["action"])
    visitor = app.test_client()  # who has no cookie of ours

    sent = visitor.post(
        target.path,
        data=dict(fields(form)) | {"email": "meri@example.com"},
        headers={"Origin": SITE, "Referer": f"{SITE}/"},
    )

    assert (sent.status_code, sent.location) == (303, "/subscribe/sent?lang=fi")
    assert db.session.scalars(sa.select(OutboxMail.address)).all() == ["meri@example.com"]
    asked = db.session.scalars(sa.select(Consent).order_by(Consent.id)).all()
    assert [(fact.purpose, fact.form_url) for fact in asked] == [
        (Purpose.NEWSLETTER, f"{SITE}/"), (Purpose.TRACKING, f"{SITE}/"),
    ]  # fmt: skip


def test_the_frame_and_the_script_name_the_lists_and_the_language(codes):
    made = codes("lists=in-english", "en")

    frame = LexborHTMLParser(made["frame"]).css("iframe")[0].attributes
    assert parse_qs(urlsplit(str(frame["src"])).query) == {
        "embedded": ["1"], "lists": ["in-english"], "lang": ["en"],
    }  # fmt: skip
    assert frame["title"] == "Subscribe to the newsletter"
    script = LexborHTMLParser(made["script"])
    tag = script.css("script")[0].attributes
    assert (tag["src"], tag["data-lists"], tag["data-lang"]) == (
        "http://127.0.0.1:8000/static/embed.js", "in-english", "en",
    )  # fmt: skip
    assert 'href="http://127.0.0.1:8000/subscribe?lists=in-english&amp;lang=en"' in made["script"]


def test_a_form_without_a_list_is_refused_at_its_field(client, codes):
    assert codes() == {}

    page = client.get("/staff/embed?form_language=fi&lang=fi").text
    assert '<a href="#list-suomeksi">Valitse vähintään yksi uutiskirje.</a>' in page


def test_the_page_names_the_sites_that_may_show_the_form(client, codes):
    codes()

    page = client.get("/staff/embed?lang=en").text
    assert "and none is named" in page


def test_the_form_offers_only_the_lists_its_address_names(client):
    page = client.get("/subscribe?lists=in-english")

    assert (b"in-english" in page.data, b"suomeksi" in page.data) == (True, False)


def test_a_list_that_is_no_more_leaves_the_form_of_all_lists(client):
    page = client.get("/subscribe?lists=gone")

    assert (b"in-english" in page.data, b"suomeksi" in page.data) == (True, True)


@pytest.mark.parametrize("path", ["/subscribe?embedded=1", "/subscribe/sent?embedded=1"])
def test_the_sites_named_may_show_the_form_in_a_frame(client_of, path):
    headers = client_of(SITE, "https://blogi.example:8443").get(path).headers

    policy = headers["Content-Security-Policy"]
    assert policy.endswith(f"frame-ancestors 'self' {SITE} https://blogi.example:8443")
    assert "X-Frame-Options" not in headers


@pytest.mark.parametrize(
    "path",
    ["/subscribe", "/subscribe?embedded=0", "/subscribe/sent", "/privacy?embedded=1", "/confirm/x?embedded=1",
     "/unsubscribe/x?embedded=1", "/staff/login?embedded=1", "/gone?embedded=1"],
)  # fmt: skip
def test_no_site_may_show_any_other_page_in_a_frame(client_of, path):
    headers = client_of(SITE).get(path).headers

    assert headers["Content-Security-Policy"].endswith("frame-ancestors 'none'")
    assert headers["X-Frame-Options"] == "DENY"


def test_no_other_site_may_show_the_form_while_none_is_named(client):
    policy = client.get("/subscribe?embedded=1").headers["Content-Security-Policy"]

    assert policy.endswith("frame-ancestors 'self'")


def test_inside_the_frame_every_answer_can_be_shown(client_of):
    client = client_of(SITE)
    page = LexborHTMLParser(client.get("/subscribe?embedded=1&lists=suomeksi&lang=fi").text)
    action = page.css("form")[0].attributes["action"]

    refused = client.post(action, data={"lang": "fi"})
    sent = client.post(
        action, data={"lang": "fi", "lists": "suomeksi", "consent": "yes", "email": "meri@example.com"}
    )

    assert (refused.status_code, sent.status_code) == (422, 303)
    for answer in (refused, sent, client.get(sent.location)):
        assert SITE in answer.headers["Content-Security-Policy"]
        assert "X-Frame-Options" not in answer.headers
    assert LexborHTMLParser(refused.text).css("form")[0].attributes["action"] == action
    assert "<header" not in refused.text + client.get(sent.location).text


@pytest.mark.parametrize(
    ("origin", "allowed"), [(SITE, SITE), ("https://toinen.example", None), (None, None)]
)
def test_only_scripts_of_the_sites_named_may_read_the_form(client_of, origin, allowed):
    response = client_of(SITE).get(
        "/subscribe/form?lists=suomeksi&lang=fi", headers={"Origin": origin} if origin else {}
    )

    assert response.headers.get("Access-Control-Allow-Origin") == allowed
    assert "Origin" in response.headers["Vary"]
    assert get_consent_text(Purpose.NEWSLETTER, "fi") in response.text


def test_the_form_for_scripts_carries_no_cookie(client):
    assert "Set-Cookie" not in client.get("/subscribe/form").headers


@pytest.mark.parametrize("kind", ["form", "frame", "script"])
def test_the_preview_shows_the_code_to_our_own_pages(client, codes, kind):
    page = client.get(f"/staff/embed/preview/{kind}?lists=suomeksi&form_language=fi")

    assert page.headers["Content-Security-Policy"].endswith("frame-ancestors 'self'")
    assert codes("lists=suomeksi")[kind].strip() in page.text


@pytest.mark.parametrize("path", ["/staff/embed", "/staff/embed/preview/form"])
def test_strangers_are_sent_to_the_login(client, path):
    assert client.get(path).location == f"/staff/login?next={path}"
