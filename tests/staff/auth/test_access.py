"""Logging in and out, and who is let in."""

import pytest

from newsletter.db import db
from newsletter.staff.auth.access import make_uniquifier
from tests.subscribers.pages import Page

WRONG = "Sähköpostiosoite tai salasana on väärin."


# --- in and out ------------------------------------------------------------------------------------


def test_logging_in_leads_to_the_staff_pages(client, make_staff, log_in):
    make_staff()

    response = log_in()

    assert (response.status_code, response.location) == (302, "/staff/")
    assert Page(client.get("/staff/campaigns")).texts(".who a.quiet") == ["anna@kirjakauppa.example"]


def test_an_address_is_the_same_in_any_case(make_staff, log_in):
    make_staff("anna@kirjakauppa.example")

    assert log_in("Anna@Kirjakauppa.example").status_code == 302


def test_a_letter_typed_in_two_parts_is_the_same_letter(make_staff, log_in):
    make_staff()

    assert log_in(password="nelja\u0308 sanaa riviin").status_code == 302


def test_logging_in_leads_on_to_the_page_asked_for(client, make_staff, log_in):
    make_staff()
    asked = client.get("/staff/campaigns?before=7").location

    assert asked == "/staff/login?next=/staff/campaigns?before%3D7"
    assert log_in(query=asked.removeprefix("/staff/login")).location == "/staff/campaigns?before=7"


@pytest.mark.parametrize(
    "target",
    [
        "https://paha.example/",
        "//paha.example/",
        "https:paha.example",
        "/\\paha.example/",
        "/staff/\\..\\..//paha.example",
        "/staff/%0d%0aLocation:https://paha.example",
        "javascript:alert(1)",
        "/subscribe",
    ],
)
def test_logging_in_never_leads_to_another_site(make_staff, log_in, target):
    make_staff()

    assert log_in(query=f"?next={target}").location == "/staff/"


def test_logging_out_ends_the_session(client, make_staff, log_in, log_out):
    make_staff()
    log_in()

    response = log_out()

    assert (response.status_code, response.location) == (302, "/staff/login")
    assert client.get("/staff/campaigns").status_code == 302


def test_a_link_does_not_log_anybody_out(client, make_staff, log_in):
    make_staff()
    log_in()

    page = Page(client.get("/staff/logout"))

    assert (page.status, client.get("/staff/campaigns").status_code) == (405, 200)


def test_the_cookie_is_kept_from_scripts_and_other_sites(make_staff, log_in):
    make_staff()

    name, *attributes = log_in().headers["Set-Cookie"].split("; ")

    assert name.startswith("staff=")
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Lax"]


def test_over_https_the_cookie_is_for_this_host_alone(make_app):
    app = make_app(base_url="https://news.example")

    assert (app.config["SESSION_COOKIE_NAME"], app.config["SESSION_COOKIE_SECURE"]) == ("__Host-staff", True)


# --- who is not let in -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/staff/", "/staff/campaigns", "/staff/campaigns/1"])
def test_a_staff_page_sends_a_stranger_to_the_login(client, path):
    response = client.get(path)

    assert (response.status_code, response.location) == (302, f"/staff/login?next={path}")
    assert Page(client.get(response.location)).texts("[role=status] p") == [
        "Kirjaudu sisään nähdäksesi tämän sivun."
    ]


@pytest.mark.parametrize(
    ("email", "password"),
    [
        pytest.param("anna@kirjakauppa.example", "jotain aivan muuta", id="wrong password"),
        pytest.param("kalle@kirjakauppa.example", "jotain aivan muuta", id="unknown address"),
        pytest.param("anna@kirjakauppa.example", "neljä sanaa", id="beginning of the password"),
        pytest.param("eeva@kirjakauppa.example", "neljä sanaa riviin", id="account switched off"),
    ],
)
def test_who_is_refused_never_learns_why(client, make_staff, log_in, email, password):
    make_staff("anna@kirjakauppa.example")
    make_staff("eeva@kirjakauppa.example", active=False)

    page = Page(log_in(email, password))

    assert (page.heading, page.summary) == ("Kirjaudu sisään", [("#email", WRONG)])
    assert client.get("/staff/campaigns").status_code == 302


@pytest.mark.parametrize(
    ("email", "password", "errors"),
    [
        ("", "neljä sanaa riviin", [("#email", "Anna sähköpostiosoitteesi.")]),
        ("anna@kirjakauppa.example", "", [("#password", "Anna salasanasi.")]),
    ],
)
def test_an_empty_field_is_named(make_staff, log_in, email, password, errors):
    make_staff()

    assert Page(log_in(email, password)).summary == errors


def test_a_nul_in_a_field_is_a_wrong_login(make_staff, log_in):
    make_staff()

    page = Page(log_in("anna\x00@kirjakauppa.example", "neljä\x00"))

    assert (page.status, page.heading) == (200, "Kirjaudu sisään")


def test_without_its_token_the_login_is_refused(client, make_staff):
    make_staff()

    form = {"email": "anna@kirjakauppa.example", "password": "neljä sanaa riviin"}
    page = Page(client.post("/staff/login", data=form))

    assert (page.status, page.heading) == (400, "Tämä ei onnistunut")
    assert client.get("/staff/campaigns").status_code == 302


def test_without_its_token_nobody_is_logged_out(client, make_staff, log_in):
    make_staff()
    log_in()

    page = Page(client.post("/staff/logout"))

    assert (page.status, client.get("/staff/campaigns").status_code) == (400, 200)


def test_a_new_key_of_the_account_ends_its_sessions(client, make_staff, log_in):
    anna = make_staff()
    log_in()

    anna.fs_uniquifier = make_uniquifier()
    db.session.commit()

    assert client.get("/staff/campaigns").status_code == 302


def test_switching_an_account_off_ends_its_sessions(client, make_staff, log_in):
    anna = make_staff()
    log_in()

    anna.active = False
    db.session.commit()

    assert client.get("/staff/campaigns").status_code == 302


@pytest.mark.parametrize("path", ["/staff/register", "/staff/reset", "/staff/change", "/register", "/login"])
def test_what_nobody_asked_for_is_not_there(client, path):
    assert client.get(path).status_code == 404


def test_the_log_holds_no_password_and_no_address(make_staff, log_in, caplog):
    make_staff()
    caplog.set_level("DEBUG")

    log_in(password="jotain aivan muuta")
    log_in()

    for secret in ("anna@", "neljä", "jotain aivan"):
        assert secret not in caplog.text
