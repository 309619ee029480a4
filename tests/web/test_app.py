"""What every page shares: headers, no cookies, and how a refusal is shown."""

import logging
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from flask import Response, request
from flask.testing import FlaskClient

from newsletter.db import db
from newsletter.mail.models import OutboxMail
from newsletter.subscribers import links
from newsletter.web.app import client_ip
from tests.subscribers.pages import Page
from tests.support.apps import Client

CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; connect-src 'self';"
    " frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pytest.fixture
def engine() -> str:
    return "sqlite"  # nothing here depends on it


# --- headers ---------------------------------------------------------------------------------------

PUBLIC_PAGES = (
    "form",
    "confirm",
    "sent",
    "unsubscribe",
    "preferences",
    "cancel",
    "notice",
    "refused",
    "unknown",
    "health",
)


@pytest.fixture(params=PUBLIC_PAGES)
def public_page(request, app, make_list, make_subscriber) -> str:
    """The path of each kind of public page: for someone who asks, and for someone who is here."""
    form = {"email": "meri@example.com", "lists": make_list().slug, "consent": "yes"}
    Client(app).post("/subscribe", data=form)
    asked = db.session.scalars(sa.select(OutboxMail.context)).one() or {}
    subscriber = make_subscriber()
    paths = {
        "form": "/subscribe",
        "confirm": urlsplit(asked["confirm_url"]).path,
        "sent": "/subscribe/sent",
        "unsubscribe": f"/unsubscribe/{links.UNSUBSCRIBE.make(subscriber.id, 0, 0)}",
        "preferences": f"/preferences/{links.PREFERENCES.make(subscriber.id)}",
        "cancel": urlsplit(asked["cancel_url"]).path,
        "notice": "/privacy",
        "refused": "/confirm/forged.signature",
        "unknown": "/no-such-page",
        "health": "/healthz",
    }
    return paths[request.param]


def test_a_public_page_is_kept_by_nobody_and_tells_nobody(client, public_page):
    """PP-1."""
    headers = client.get(public_page).headers

    assert headers["Content-Security-Policy"] == CSP
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Robots-Tag"] == "noindex"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"


def test_a_public_page_sets_no_cookie(client, public_page):
    """PP-1."""
    response = client.get(public_page)

    assert response.headers.getlist("Set-Cookie") == []


def test_a_public_page_loads_nothing_from_elsewhere(client, public_page):
    """PP-1."""
    html = client.get(public_page).text

    assert [part for part in ("src=", "http-equiv", "<script", "style=", "@import") if part in html] == []
    assert html.count("<link ") == html.count('href="/static/')


def test_over_https_browsers_are_told_to_stay_there(client):
    assert client.get("/subscribe", base_url="https://localhost").headers["Strict-Transport-Security"] == (
        "max-age=31536000"
    )
    assert "Strict-Transport-Security" not in client.get("/subscribe").headers


def test_a_staff_page_keeps_its_own_referrer_for_the_csrf_check(client):
    assert client.get("/staff/login").headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/staff/login", "/staff/campaigns", "/staff/first/forged"])
def test_a_staff_page_is_kept_by_nobody(client, path):
    assert client.get(path).headers["Cache-Control"] == "no-store"


def test_the_style_sheet_may_be_kept(client):
    with client.get("/static/app.css") as response:
        assert (response.status_code, response.headers["Cache-Control"]) == (200, "no-cache")


# --- the client's address --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hops", "ip"),
    [
        pytest.param(0, "127.0.0.1", id="nobody is believed"),
        pytest.param(1, "203.0.113.7", id="one proxy of ours"),
        pytest.param(2, "198.51.100.2", id="two proxies of ours"),
    ],
)
def test_forwarding_headers_are_believed_as_far_as_our_proxies_go(make_app, hops, ip):
    with FlaskClient(make_app(proxy_hops=hops)) as client:
        client.get("/healthz", headers={"X-Forwarded-For": "192.0.2.9, 198.51.100.2, 203.0.113.7"})

        assert client_ip() == ip


def test_a_proxy_says_whether_the_visitor_came_over_https(make_app):
    with FlaskClient(make_app(proxy_hops=1)) as client:
        client.get("/healthz", headers={"X-Forwarded-Proto": "https", "X-Forwarded-Host": "news.example"})

        assert request.host_url == "https://news.example/"


# --- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "language", "text"),
    [
        ("GET", "/no", 404, "fi", "Sivua ei ole. Tarkista, että kopioit osoitteen kokonaan."),
        ("GET", "/no", 404, "en", "There is no such page. Check that you copied all of the address."),
        ("PUT", "/subscribe", 405, "fi", "Sivua ei voi käyttää näin. Avaa se uudelleen linkistä."),
        ("PUT", "/subscribe", 405, "en", "This page cannot be used that way. Open it again from the link."),
        ("POST", "/o/forged", 404, "fi", "Sivua ei ole. Tarkista, että kopioit osoitteen kokonaan."),
        ("GET", "/privacy/2", 404, "fi", "Sivua ei ole. Tarkista, että kopioit osoitteen kokonaan."),
        ("GET", "/confirm/x", 404, "fi", "Linkki ei toimi. Tarkista, että kopioit sen kokonaan."),
        ("GET", "/confirm/x", 404, "en", "The link does not work. Check that you copied all of it."),
    ],
)
def test_an_error_is_a_page_in_the_visitors_language(client, method, path, status, language, text):
    page = Page(client.open(path, method=method, headers={"Accept-Language": language}))

    assert (page.status, page.language, page.texts("[role=status] p")) == (status, language, [text])


def test_an_error_page_leads_on_to_the_form(client):
    page = Page(client.get("/no?lang=en"))

    assert (page.heading, page.link("To the subscription page")) == (
        "This did not work",
        "/subscribe?lang=en",
    )


def test_a_wrong_method_is_told_the_right_ones(client):
    response = client.put("/subscribe")

    assert sorted(response.headers["Allow"].split(", ")) == ["GET", "HEAD", "OPTIONS", "POST"]


def test_what_is_too_large_is_refused(client):
    page = Page(client.post("/subscribe?lang=en", data={"email": "a" * 1_000_001}))

    assert (page.status, page.texts("[role=status] p")) == (413, ["What was sent is too large."])


def test_a_program_gets_its_error_as_json(client):
    response = client.get("/api/v1/no", headers={"Accept-Language": "fi"})

    assert (response.status_code, response.json) == (
        404,
        {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "code": "not_found",
            "detail": "Täällä ei ole mitään.",
        },
    )


def test_our_own_fault_shows_a_calm_page(client):
    db.session.execute(sa.text("ALTER TABLE lists RENAME TO gone"))

    page = Page(client.get("/subscribe?lang=en"))

    assert (page.status, page.texts("[role=status] p")) == (500, ["Something went wrong. Try again later."])


def test_our_own_fault_leaves_no_address_in_the_log(client, make_list, caplog):
    make_list("suomeksi")
    db.session.execute(sa.text("ALTER TABLE lists RENAME TO gone"))
    caplog.set_level(logging.DEBUG)

    form = {"email": "meri@example.com", "lists": "suomeksi", "consent": "yes"}
    page = Page(client.post("/subscribe?lang=en", data=form, environ_base={"REMOTE_ADDR": "203.0.113.7"}))

    assert (page.status, "no such table" in caplog.text) == (500, True)
    assert ("meri" in caplog.text, "203.0.113.7" in caplog.text) == (False, False)


# --- health ----------------------------------------------------------------------------------------


def test_a_living_process_says_so(client):
    response = client.get("/healthz")

    assert (response.status_code, response.json) == (200, {"status": "ok"})


def test_a_process_with_its_database_is_ready(real_app, client):
    response = client.get("/readyz")

    assert (response.status_code, response.json) == (200, {"status": "ok", "warnings": []})


def test_a_process_is_not_ready_before_the_migrations(make_app):
    response = FlaskClient(make_app(), Response).get("/readyz")

    assert (response.status_code, response.json) == (503, {"status": "migrations are due"})


def test_a_process_is_not_ready_for_a_database_of_another_version(real_app, client):
    with db.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    response = client.get("/readyz")

    assert (response.status_code, response.json) == (503, {"status": "migrations are due"})


def test_a_process_without_its_database_is_alive_and_not_ready(make_app, tmp_path, caplog):
    client = FlaskClient(make_app(database_url=f"sqlite:///{tmp_path}/no/such/folder.db"), Response)

    alive, ready = client.get("/healthz"), client.get("/readyz")

    assert (alive.status_code, ready.status_code, ready.json) == (
        200,
        503,
        {"status": "database not reachable"},
    )
    assert "database not reachable" in caplog.messages
