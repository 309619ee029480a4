"""A language that was asked for stays, wherever a staff page leads."""

import re

import pytest
from selectolax.lexbor import LexborHTMLParser

from newsletter.campaigns.models import CampaignStatus
from newsletter.db import db
from newsletter.privacy.models import RequestKind
from newsletter.privacy.requests import register
from newsletter.staff.matrix import EVERYBODY, matrix_rows
from newsletter.staff.models import Role
from tests.staff.conftest import PASSWORD
from tests.staff.test_list_access import address
from tests.subscribers.pages import Page
from tests.support.clock import NOW

#: Fills the forms of all pages well enough that most of them go through.
FIELDS = {
    "subject": "Uutiset",
    "body": "Hei!",
    "lists": "oma",
    "version": "1",
    "language": "en",
    "when": "now",
    "count": "0",
    "role": "viewer",
    "reach": "all",
    "kind": "access",
    "channel": "mail",
    "decision": "x",
    "slug": "uusi",
    "name": "Uusi lista",
    "topics": "",
    "frequency": "",
    "reason": "law",
    "text": "Syy",
    "recipient": "Tilitoimisto",
    "what": "Osoite",
    "why": "Laskutus",
    "ground": "sopimus",
    "began_at": "2026-03-01T10:00",
    "ended_at": "2026-03-01T11:00",
    "noticed_at": "2026-03-01T12:00",
    "description": "Katosi muistitikku",
    "form_language": "fi",
    "proof": PASSWORD,
    "on": "yes",
}


@pytest.fixture
def engine() -> str:
    return "sqlite"


@pytest.fixture
def campaign(make_list, make_campaign):
    made = make_campaign([make_list("oma")])
    register.record_request(
        RequestKind.ACCESS, "meri@example.com", channel="mail", language="fi", now=NOW, actor="staff:1"
    )
    db.session.commit()
    return made


def leads(answer) -> str | None:
    """Return where an answer leads to among staff pages; None where it does not."""
    location = answer.location or ""
    return location if location.startswith("/staff") else None


@pytest.mark.parametrize("level", [None, "admin"])
def test_every_redirect_of_staff_keeps_it(app, client, enter, campaign, make_staff, level):
    other = make_staff("kalle@kirjakauppa.example")
    if level:
        enter(role=Role(level))
    token = str(Page(client.get("/staff/account/" if level else "/staff/login")).value("csrf_token"))
    led, lost = 0, {}
    for row in matrix_rows(app):
        if row.path == "/staff/logout" or (level and row.path.startswith("/staff/account/")):
            continue  # the first would end the walk, the others change who walks
        path = row.path.replace("<int:number>", str(other.id if "accounts" in row.path else 1))
        campaign.status = CampaignStatus.DRAFT
        db.session.commit()
        fields = FIELDS | {
            "csrf_token": token,
            "address": f"a{led}@kirjakauppa.example",
            "email": "x@example.com",
        }
        answer = client.open(
            address(path, campaign, "oma") + "?lang=en",
            method=row.method,
            data=fields if row.method == "POST" else None,
        )
        target = leads(answer)
        if target is not None:
            led += 1
            if "lang=en" not in target:
                lost[row.method, row.path] = target

    assert lost == {}
    assert led >= (20 if level else 90)


def test_every_link_and_form_of_a_page_keeps_it(app, client, enter, campaign):
    enter(role=Role.ADMIN)
    lost = {}
    for row in matrix_rows(app):
        if row.method != "GET" or EVERYBODY in row.levels:
            continue
        found = LexborHTMLParser(client.get(address(row.path, campaign, "oma") + "?lang=en").text)
        targets = [str(node.attributes["href"]) for node in found.css("a[href^='/staff']")]
        targets += [
            str(node.attributes["action"]) for node in found.css("form[action^='/staff'][method=post]")
        ]
        for form in found.css("form[method=get]"):
            if not form.css("input[name=lang][value=en]"):
                targets.append("a form without it")
        if without := [target for target in targets if not re.search(r"[?&]lang=(en|fi)\b", target)]:
            lost[row.path] = without

    assert lost == {}


def test_logging_in_keeps_it(make_staff, log_in):
    make_staff()

    assert (
        log_in(query="?next=/staff/campaigns?before%3D7&lang=en").location
        == "/staff/campaigns?before=7&lang=en"
    )


def test_a_language_that_we_do_not_speak_is_not_carried_along(client):
    assert client.get("/staff/campaigns?lang=sv").location.endswith("next=/staff/campaigns?lang%3Dsv")


def test_who_asked_for_none_sees_none_in_addresses(client, enter, campaign):
    enter()

    assert "lang=" not in "".join(Page(client.get("/staff/campaigns")).links("nav.menu a"))
