"""Which language a page speaks, and how it writes days and numbers."""

from dataclasses import replace
from datetime import UTC, date, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from newsletter.errors import LinkExpired, NewsletterError
from newsletter.web.i18n import (
    force_language,
    format_date,
    format_datetime,
    format_number,
    format_share,
    language,
    supported_language,
    translate,
)
from tests.subscribers.pages import Page

NBSP = "\u00a0"


@pytest.fixture
def engine() -> str:
    return "sqlite"  # nothing here depends on it


@pytest.fixture
def offer(app, monkeypatch):
    """Offer these languages, the first being the one for everybody else."""

    def languages(*codes: str) -> None:
        monkeypatch.setitem(app.config, "NEWSLETTER", replace(app.config["NEWSLETTER"], languages=codes))

    return languages


# --- which language --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "accepted", "spoken_then"),
    [
        pytest.param("?lang=en", "fi", "en", id="the address wins"),
        pytest.param("?lang=sv", "en", "en", id="one we do not speak is passed over"),
        pytest.param("?lang=", "en", "en", id="an empty one too"),
        pytest.param("", "en-GB,fi;q=0.5", "en", id="the browser's first"),
        pytest.param("", "sv,en;q=0.5", "en", id="the browser's second"),
        pytest.param("", "sv", "fi", id="else our first"),
        pytest.param("", "", "fi", id="a browser that says nothing"),
    ],
)
def test_a_page_speaks_the_language_asked_for(client, asked, accepted, spoken_then):
    """PP-3."""
    page = Page(client.get(f"/subscribe/sent{asked}", headers={"Accept-Language": accepted}))

    assert page.language == spoken_then


def test_a_form_carries_its_language(client):
    page = Page(client.post("/subscribe", data={"lang": "en"}, headers={"Accept-Language": "fi"}))

    assert page.language == "en"


def test_only_the_languages_offered_are_spoken(client, offer):
    offer("en")

    page = Page(client.get("/subscribe/sent?lang=fi", headers={"Accept-Language": "fi"}))

    assert (page.language, page.heading, page.texts(".languages a")) == (
        "en",
        "Check your e-mail",
        ["English"],
    )


def test_the_first_language_offered_is_everybody_elses(client, offer):
    offer("en", "fi")

    assert Page(client.get("/subscribe/sent")).language == "en"


def test_each_page_leads_to_itself_in_the_other_languages(client):
    html = client.get("/privacy/1?lang=fi").text

    assert '<a href="/privacy/1?lang=fi" lang="fi" hreflang="fi" aria-current="true">Suomi</a>' in html
    assert '<a href="/privacy/1?lang=en" lang="en" hreflang="en">English</a>' in html


def test_the_address_of_the_site_leads_to_the_form_in_the_language_asked_for(client):
    response = client.get("/?lang=en", headers={"Accept-Language": "fi"})

    assert Page(client.get(response.location, headers={"Accept-Language": "fi"})).language == "en"


def test_a_redirect_keeps_the_language_asked_for(client):
    by_address, by_form = client.get("/staff/?lang=en"), client.post("/staff/lists/", data={"lang": "en"})

    assert [parse_qs(urlsplit(answer.location).query)["lang"] for answer in (by_address, by_form)] == [
        ["en"]
    ] * 2


@pytest.mark.parametrize(("code", "written"), [("fi", "fi"), ("en", "en"), ("sv", "fi")])
def test_someone_whose_language_we_do_not_speak_is_written_to_in_our_first(app, code, written):
    assert supported_language(code) == written


def test_a_forced_language_holds_inside_only(app):
    with force_language("en"):
        inside = language()

    assert (inside, language()) == ("en", "fi")


# --- sentences -------------------------------------------------------------------------------------


def test_a_refusal_is_translated_with_its_values(app):
    class NoList(NewsletterError):
        message = "There is no list called %(slug)s."

    error = NoList(slug="ruotsiksi")

    with force_language("fi"):
        assert translate(error.message, error.values) == "Listaa ei ole: ruotsiksi"
    with force_language("en"):
        assert translate(error.message, error.values) == "There is no list called ruotsiksi."


def test_a_refusal_is_english_where_no_page_speaks():
    assert str(LinkExpired()) == "The link is no longer valid. You can subscribe again."


def test_a_percent_sign_in_a_value_is_only_a_sign(app):
    with force_language("fi"):
        assert (
            translate("There is no list called %(slug)s.", {"slug": "100 %(x)s"})
            == "Listaa ei ole: 100 %(x)s"
        )


# --- days and numbers ------------------------------------------------------------------------------

PURGE = datetime(2027, 1, 15, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("code", "day", "instant"),
    [
        ("fi", "15.1.2027", "15.1.2027 klo 3.00"),
        ("en", "Jan 15, 2027", "Jan 15, 2027, 3:00\u202fAM"),
    ],
)
def test_an_instant_is_written_in_the_business_time_zone(app, code, day, instant):
    """PP-3; a sentence without translation fails `make translations`."""
    with force_language(code):
        assert (format_date(PURGE), format_datetime(PURGE)) == (day, instant)


def test_summer_time_is_kept(app):
    with force_language("fi"):
        assert format_datetime(datetime(2027, 7, 15, 1, 0, tzinfo=UTC)) == "15.7.2027 klo 4.00"


def test_a_day_is_a_day_in_every_zone(app):
    with force_language("fi"):
        assert format_date(date(2027, 12, 31)) == "31.12.2027"


@pytest.mark.parametrize(
    ("code", "number", "share"),
    [("fi", f"12{NBSP}345,5", f"41,2{NBSP}%"), ("en", "12,345.5", f"41.2{NBSP}%")],
)
def test_numbers_have_the_languages_separators(app, code, number, share):
    with force_language(code):
        assert (format_number(12345.5), format_share(0.412)) == (number, share)


def test_a_share_of_nothing_is_a_dash(app):
    assert format_share(None) == "–"
