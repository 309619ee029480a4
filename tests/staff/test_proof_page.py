"""The proof of a consent in the staff area: who may see it, and what a look leaves behind."""

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.staff.models import Role
from newsletter.subscribers.consent.evidence import Visit, record_consent
from newsletter.subscribers.models import ConsentKind

VISIT = Visit(ip="203.0.113.7", user_agent="Selain 1", form_url="https://www.kirjakauppa.example/tilaa")


@pytest.fixture
def subscriber(make_subscriber, now):
    made = make_subscriber("meri@example.com")
    mailing_list = made.subscriptions[0].mailing_list
    record_consent(
        ConsentKind.CONFIRMED, made, now=now, method="button", visit=VISIT, mailing_list=mailing_list
    )
    db.session.commit()
    return made


def looks():
    found = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "consent proof read")).all()
    db.session.commit()
    return [(entry.actor, entry.object) for entry in found]


@pytest.mark.parametrize("role", [Role.PRIVACY, Role.ADMIN])
def test_a_look_at_a_proof_is_recorded(enter, submit, subscriber, role):
    staff = enter(role=role)

    response = submit("/staff/proof", address="meri@example.com")

    assert response.status_code == 200
    assert "203.0.113.7" in response.text
    assert looks() == [(f"staff:{staff.id}", f"subscriber:{subscriber.id}")]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR, Role.SENDER])
def test_other_levels_are_refused(enter, client, role):
    enter(role=role)

    assert client.get("/staff/proof").status_code == 403


@pytest.mark.parametrize(
    ("language", "words", "way_on"),
    [
        ("fi", "Käyttäjätasosi ei riitä tälle sivulle.", "Työntekijöiden sivuille"),
        ("en", "Your user level does not give access to this page.", "To the staff pages"),
    ],
)
def test_a_refusal_says_what_to_do(enter, client, language, words, way_on):
    enter(role=Role.VIEWER)

    page = client.get(f"/staff/proof?lang={language}").text

    assert words in page
    assert f'href="/staff/campaigns?lang={language}">{way_on}</a>' in page


def test_other_levels_get_no_proof_by_posting_either(enter, submit, subscriber):
    enter(role=Role.SENDER)

    response = submit("/staff/campaigns", to="/staff/proof", address="meri@example.com")

    assert (response.status_code, looks()) == (403, [])
    assert "203.0.113.7" not in response.text


def test_the_menu_shows_what_the_level_may_open(enter, client):
    enter(role=Role.VIEWER)

    page = client.get("/staff/campaigns?lang=fi").text

    assert ("Kampanjat</a>" in page, "Upotus</a>" in page) == (True, True)
    assert ("Todisteet</a>" in page, "Viestit</a>" in page) == (False, False)


def test_the_menu_marks_the_page_one_is_on(enter, client):
    enter(role=Role.PRIVACY)

    page = client.get("/staff/proof").text

    assert page.count('aria-current="page"') == 1
    assert '<a href="/staff/proof" aria-current="page">Todisteet</a>' in page


def test_the_address_stands_in_no_url(enter, submit, subscriber):
    enter(role=Role.PRIVACY)

    page = submit("/staff/proof", address="meri@example.com").text

    assert page.count("meri@example.com") == 1
    assert "<dd>meri@example.com</dd>" in page


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("muu@example.com", "Osoitteesta ei ole suostumusta."),
        ("meri", "Anna sähköpostiosoite muodossa nimi@esimerkki.fi."),
    ],
)
def test_an_address_without_proof_leaves_no_trace(enter, submit, subscriber, address, words):
    enter(role=Role.PRIVACY)

    response = submit("/staff/proof?lang=fi", address=address)

    assert (response.status_code, looks()) == (422, [])
    assert words in response.text


def test_a_form_without_its_mark_is_refused(enter, client, subscriber):
    enter(role=Role.PRIVACY)

    response = client.post("/staff/proof", data={"address": "meri@example.com"})

    assert (response.status_code, looks()) == (400, [])
