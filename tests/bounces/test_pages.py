"""The staff pages: what came back, one person's reason in plain words, and what nobody could read (ST-3)."""

from dataclasses import replace

import pytest

from newsletter.bounces.models import Bounce
from newsletter.bounces.receive import receive_message
from newsletter.db import db
from newsletter.mail.return_path import return_paths
from newsletter.staff.models import Role
from newsletter.subscribers.models import Subscriber
from tests.bounces.conftest import report_on
from tests.staff.conftest import make_staff, sign_in_as
from tests.subscribers.pages import Page

__all__ = ["make_staff"]


@pytest.fixture
def enter(app, client, make_staff, monkeypatch):
    """Be signed in with a role, where real people read: with a mail server."""

    def sign_in(role: Role) -> None:
        real = replace(app.config["NEWSLETTER"], mail_server="mail.example")
        monkeypatch.setitem(app.config, "NEWSLETTER", real)
        sign_in_as(client, make_staff(email=f"{role.value}@kirjakauppa.example", role=role))

    return sign_in


@pytest.fixture
def came_back(start, make_list, make_readers, send_due, clock, now):
    """Six people at one domain and one at another; all bounced, and one report is nobody's."""
    fi = make_list()
    make_readers(fi, 7)
    alone = db.session.query(Subscriber).order_by(Subscriber.id.desc()).first()
    alone.address = alone.address_key = "meri@merenkulku.example"
    db.session.commit()
    campaign = start([fi])
    send_due()
    for person in db.session.query(Subscriber).all():
        receive_message(report_on(return_paths().of(campaign.id, person.id)), source="imap", now=now)
    receive_message(b"From: meri@merenkulku.example\r\nSubject: <b>hello</b>\r\n\r\n", source="imap", now=now)
    db.session.commit()
    return campaign


def rows_of(page: Page) -> list[str]:
    return [" ".join(text.split()) for text in page.texts("tbody tr")]


def test_st3_small_counts_are_for_the_privacy_level(came_back, client, enter):
    enter(role=Role.SENDER)
    answer = client.get("/staff/bounces?lang=en")
    assert rows_of(Page(answer))[:3] == [
        "example.com 6 0 0",
        "Other domains under 5 0 0",
        "Mar 3, 2026 7 0 0",
    ]
    assert "merenkulku.example" not in answer.text
    assert "Save message" not in answer.text

    enter(role=Role.PRIVACY)
    answer = client.get("/staff/bounces?lang=en")
    assert rows_of(Page(answer))[1] == "merenkulku.example 1 0 0"


def test_a_persons_reason_stands_in_plain_words(came_back, client, enter):
    enter(role=Role.PRIVACY)
    person = db.session.query(Subscriber).first()

    answer = client.get(f"/staff/bounces/person/{person.id}?lang=fi")

    assert "Tähän osoitteeseen ei enää lähetetä mitään: se ei toimi." in answer.text
    (row,) = rows_of(Page(answer))
    assert "Osoite ei toimi Postilaatikkoa ei ole. 550 5.1.1 <…>: Recipient address rejected" in row


def test_only_privacy_opens_what_nobody_could_read(came_back, client, enter):
    enter(role=Role.PRIVACY)
    number = db.session.query(Bounce).filter_by(reason="unnamed").one().id
    link = Page(client.get("/staff/bounces?lang=en")).link(f"Save message {number}")

    answer = client.get(link)

    assert answer.data.startswith(b"From: meri@merenkulku.example")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.mimetype == "application/octet-stream"


def test_the_campaign_page_warns_before_it_stops(came_back, client, enter):
    came_back.totals.bounced, came_back.totals.complained = 13, 1
    db.session.commit()
    enter(role=Role.SENDER)

    seen = client.get(f"/staff/campaigns/{came_back.id}?lang=en").text
    attention = client.get("/staff/overview?lang=en").text

    assert "Called spam: 0.2\u00a0%. Sending stops by itself at 0.3\u00a0%." in seen
    assert "Came back or failed: 2.6\u00a0%. Sending stops by itself at 5\u00a0%." in seen
    assert "Many bounces or spam complaints." in attention


def test_the_page_says_when_nothing_came_back(app, client, enter):
    enter(role=Role.ADMIN)

    assert "Mitään ei ole palautunut" in client.get("/staff/bounces?lang=fi").text
