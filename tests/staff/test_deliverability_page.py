"""SB-8 on the page of sending: what was found, as of when, and who may send all the same."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import CampaignStatus
from newsletter.db import db
from newsletter.mail.models import DeliverabilityResult, Grade
from newsletter.staff.models import Role
from newsletter.wakeups import queue
from tests.staff.conftest import sign_in_as
from tests.subscribers.pages import Page
from tests.support.clock import NOW


@pytest.fixture
def found(app):
    """Keep findings as a worker would, with one thing wrong."""
    words = {"spf": "spf_fine", "mx": "mx_fine", "dmarc": "dmarc_missing", "tls": "tls_here"}
    details = {"domain": "kirjakauppa.example", "name": "_dmarc.kirjakauppa.example"}
    for code, word in words.items():
        grade = Grade.FAILED if code == "dmarc" else Grade.FINE
        db.session.add(
            DeliverabilityResult(code=code, grade=grade, word=word, details=details, checked_at=NOW)
        )
    db.session.commit()


@pytest.fixture
def draft(make_list, make_subscriber, make_campaign):
    fi = make_list()
    make_subscriber(lists=[fi])
    return make_campaign([fi])


@pytest.fixture
def pages(make_app, draft, make_staff):
    """The pages of sending of an application in real use, for somebody of a level."""
    browser = make_app(preflight="always").test_client()

    def enter(role):
        sign_in_as(browser, make_staff(f"{role.value}@kirjakauppa.example", role=role))
        path = f"/staff/campaigns/{draft.id}/send"
        page = Page(browser.get(path))
        token = page.value("csrf_token")
        return page, lambda **fields: browser.post(path, data={"csrf_token": token, "count": "1"} | fields)

    return enter


def test_sb8_a_sender_sees_what_is_wrong_and_cannot_send(pages, draft, found):
    page, send = pages(Role.SENDER)

    assert page.texts("td .badge") == ["Kunnossa", "Virhe", "Kunnossa", "Kunnossa"]
    assert page.texts("label[for=count], label[for=despite]") == []
    assert send(despite="yes").status_code == 422
    db.session.refresh(draft)
    assert draft.status is CampaignStatus.DRAFT


def test_sb8_an_administrator_has_to_say_so(pages, draft, found):
    page, send = pages(Role.ADMIN)

    assert page.label("despite") == "Lähetä, vaikka viestit torjuttaisiin tai ne päätyisivät roskapostiin"
    assert [send().status_code, send(despite="yes").status_code] == [422, 303]
    db.session.refresh(draft)
    assert draft.status is CampaignStatus.SENDING


def test_what_was_found_stands_there_with_its_time_and_what_to_do(pages, found):
    page, _send = pages(Role.SENDER)

    assert [text for text in page.texts("main .soft") if "3.3.2026" in text] == [
        "Tilanne: 3.3.2026 klo 11.30"
    ]
    assert (
        "DMARC-tietue puuttuu: suuret postilaatikkojen tarjoajat torjuvat silloin uutiskirjeet."
        " Julkaise TXT-tietue nimellä _dmarc.kirjakauppa.example, esimerkiksi: v=DMARC1; p=none"
    ) in page.texts("td")


def test_a_page_asks_nobody_itself_but_wakes_a_worker_for_it(client, enter, submit, draft, app):
    enter(role=Role.EDITOR)
    path = f"/staff/campaigns/{draft.id}/send"
    queue(app).flush()

    answer = submit(path, to=path.replace("/send", "/standing"))

    assert (answer.status_code, len(queue(app).pending())) == (303, 1)
    assert db.session.scalars(sa.select(DeliverabilityResult)).all() == []


def test_findings_of_long_ago_are_called_so(pages, found, clock):
    clock.shift(timedelta(days=4))

    page, _send = pages(Role.ADMIN)

    assert page.texts(".notice.problem")[0].startswith("Viime aikoina ei ole tarkistettu")


def test_recipients_can_be_spread_on_the_page(pages, draft):
    db.session.add(
        DeliverabilityResult(code="tls", grade=Grade.FINE, word="tls_here", details={}, checked_at=NOW)
    )
    db.session.commit()
    _page, send = pages(Role.SENDER)

    assert send(over="4").status_code == 303
    db.session.refresh(draft)
    assert timedelta(minutes=draft.spread_minutes) == timedelta(hours=4)
