"""The page where a campaign is checked, tried, let go and followed."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from selectolax.lexbor import LexborHTMLParser

from newsletter.campaigns.models import CampaignStatus, HeldReason
from newsletter.db import db
from newsletter.mail.models import OutboxMail
from newsletter.sending.lifecycle.release import start_due
from newsletter.staff.models import Role
from tests.staff.conftest import sign_in_as
from tests.subscribers.pages import Page

SENDERS = {Role.SENDER, Role.ADMIN}


@pytest.fixture
def campaign(make_list, make_subscriber, make_campaign):
    """A draft that reaches two people."""
    fi = make_list("suomeksi", "Uutiskirje")
    make_subscriber(lists=[fi])
    make_subscriber(lists=[fi])
    return make_campaign([fi], subject="Uutiset")


@pytest.fixture
def page(client, campaign):
    return lambda: Page(client.get(f"/staff/campaigns/{campaign.id}/send"))


@pytest.fixture
def send(submit, campaign, enter):
    """Fill in the form of the page as a sender."""
    enter(role=Role.SENDER)

    def send(act="send", **fields):
        path = f"/staff/campaigns/{campaign.id}"
        return submit("/staff/campaigns", to=f"{path}/{act}", **fields)

    return send


def status(campaign):
    db.session.refresh(campaign)
    return campaign.status


def test_checks_stand_on_the_page_with_what_to_do(page, enter, campaign):
    campaign.editions[0].body = "Hei {{ nimi }}, [Lue](http://kirja.example/)"
    db.session.commit()
    enter(role=Role.SENDER)

    assert page().texts(".findings li") == [
        "Virhe (Suomi): Tekstiin on jäänyt täyttämätön kohta: {{ nimi }}"
        " Kirjoita kohtaan se, mitä lukijoiden kuuluu nähdä, tai vahvista, että se on tarkoitettu sellaiseksi."
        " Pidä ”{{ nimi }}” sellaisenaan",
        "Varoitus (Suomi): Osoite ilman salausta: http://kirja.example/"
        " Kirjoita https://, jos sivustolla on se: selaimet varoittavat muista, ja osa postilaatikoista"
        " piilottaa ne.",
    ]
    assert "Korjaa ensin virheet." in page().texts("#send p")


def test_words_that_look_like_a_placeholder_are_confirmed_with_a_button(page, send, campaign):
    campaign.editions[0].body = "XXX Kirjamessut"
    db.session.commit()
    assert page().texts(".findings button") == ["Pidä ”XXX” sellaisenaan"]

    assert send("words", edition="fi", words="YYY").status_code == 422
    assert send("words", edition="fi", words="XXX").status_code == 303

    db.session.expire_all()
    assert campaign.editions[0].confirmed_words == ["XXX"]
    assert page().texts(".findings li") == []


def test_the_audience_stands_on_the_page(page, enter):
    enter(role=Role.EDITOR)

    assert page().texts(".lead") == ["Vastaanottajia: 2"]
    assert page().texts("tbody td") == ["2", "0", "0", "0", "0"]


def test_ss5_the_right_number_sends(send, campaign):
    answer = send(when="now", count=" 2 ")

    assert answer.status_code == 303
    assert status(campaign) is CampaignStatus.SENDING


@pytest.mark.parametrize("count", ["", "1", "kaksi", "2.0", "-2", "²", "9" * 400])
def test_ss5_anything_else_sends_nothing_and_names_the_number(send, campaign, count):
    refused = Page(send(when="now", count=count))

    assert (refused.status, refused.errors) == (
        422,
        {"count": "Kirjoita täsmälleen se määrä, jolle kirje lähtisi: 2."},
    )
    assert status(campaign) is CampaignStatus.DRAFT


def test_a_time_is_taken_in_the_business_time_zone(send, campaign, page):
    send(when="later", day="2027-07-15", time="09:00", count="2")

    assert status(campaign) is CampaignStatus.SCHEDULED
    assert campaign.scheduled_at.isoformat() == "2027-07-15T06:00:00+00:00"
    assert page().texts("main > .notice") == ["Kirje lähtee itsestään: 15.7.2027 klo 9.00 (Europe/Helsinki)"]


def test_a_time_that_the_clock_skips_is_told_to_the_user(send, campaign):
    refused = Page(send(when="later", day="2027-03-28", time="03:30", count="2"))

    assert refused.errors == {
        "time": "Tätä aikaa ei ole: 2027-03-28 klo 03:30. Kello siirtyy suoraan: 03:00 → 04:00."
    }
    assert status(campaign) is CampaignStatus.DRAFT


@pytest.mark.parametrize(("fold", "hour"), [("0", 0), ("1", 1)])
def test_a_time_that_comes_twice_lets_the_user_choose(send, campaign, fold, hour):
    asked = send(when="later", day="2027-10-31", time="03:30", count="2")

    assert asked.status_code == 422
    tree = LexborHTMLParser(asked.text)
    assert [choice.attributes["value"] for choice in tree.css("input[name=fold]")] == ["0", "1"]
    assert tree.css_first("#day").attributes["value"] == "2027-10-31"
    send(when="later", day="2027-10-31", time="03:30", count="2", fold=fold)
    assert status(campaign) is CampaignStatus.SCHEDULED
    assert campaign.scheduled_at.isoformat() == f"2027-10-31T0{hour}:30:00+00:00"


@pytest.mark.parametrize(
    ("day", "time"), [("", ""), ("2027-01-15", ""), ("huomenna", "9"), ("2020-01-15", "09:00")]
)
def test_a_time_that_is_none_or_past_is_refused_at_its_field(send, campaign, day, time):
    refused = Page(send(when="later", day=day, time=time, count="2"))

    assert (refused.status, list(refused.errors)) == (422, ["day"])
    assert status(campaign) is CampaignStatus.DRAFT


def test_a_schedule_found_late_says_so_and_asks(send, campaign, page):
    send(when="later", day="2027-07-15", time="09:00", count="2")
    start_due(campaign.scheduled_at + timedelta(hours=3))

    assert (status(campaign), campaign.held_reason) == (CampaignStatus.SCHEDULED, HeldReason.LATE)
    (told,) = page().texts("main > .notice.problem")
    assert told.startswith("Ajastus huomattiin yli kaksi tuntia myöhässä, joten mitään ei lähetetty")
    send(when="now", count="2")
    assert status(campaign) is CampaignStatus.SENDING


def test_a_schedule_can_be_taken_back_or_cancelled(send, campaign):
    send(when="later", day="2027-07-15", time="09:00", count="2")
    send("withdraw")
    assert status(campaign) is CampaignStatus.DRAFT

    send(when="later", day="2027-07-15", time="09:00", count="2")
    send("cancel")
    assert status(campaign) is CampaignStatus.CANCELLED


def test_a_campaign_on_its_way_can_be_paused_and_go_on_and_be_cancelled(send, campaign, page):
    send(when="now", count="2")
    for act, expected in (
        ("pause", CampaignStatus.PAUSED),
        ("resume", CampaignStatus.SENDING),
        ("cancel", CampaignStatus.CANCELLED),
    ):
        assert send(act).status_code == 303
        assert status(campaign) is expected
    assert send("resume").status_code == 422
    assert page().texts("#progress-said") == ["Käsitelty 2 / 2"] or page().texts("#progress-said")


def test_progress_is_told_to_the_page_and_to_its_script(send, send_due, campaign, client, page):
    send(when="now", count="2")
    before = client.get(f"/staff/campaigns/{campaign.id}/progress").json
    assert page().texts("progress") == [before["said"]]

    send_due()

    after = client.get(f"/staff/campaigns/{campaign.id}/progress").json
    assert [(told["status"], told["handled"], told["of"]) for told in (before, after)] == [
        ("sending", 0, 2),
        ("sent", 2, 2),
    ]


def test_a_test_mail_goes_to_the_staff_chosen(send, campaign):
    answer = send("test", addresses="anna@kirjakauppa.example")
    stranger = Page(send("test", addresses="meri@example.com"))
    nobody = Page(send("test"))

    assert answer.status_code == 303
    assert [stranger.status, nobody.status] == [422, 422]
    assert db.session.scalars(sa.select(OutboxMail.address)).all() == ["anna@kirjakauppa.example"]
    assert list(nobody.errors) == ["addresses"]


def test_ss5_a_second_person_has_to_agree(make_app, campaign, make_staff, now):
    app = make_app(second_person=True)
    people = [make_staff(f"{name}@kirjakauppa.example", Role.SENDER) for name in ("anna", "kalle")]
    path = f"/staff/campaigns/{campaign.id}/send"

    def act(person, **fields):
        browser = app.test_client()
        sign_in_as(browser, person)
        token = Page(browser.get("/staff/campaigns")).value("csrf_token")
        answer = browser.post(path, data={"csrf_token": token, "when": "now", "count": "2"} | fields)
        return answer.status_code, Page(browser.get(path))

    assert act(people[0])[0] == 303
    assert status(campaign) is CampaignStatus.DRAFT
    again, page = act(people[0])
    assert (again, page.texts("#send form button")) == (422, ["Peru pyyntö"])
    assert page.texts("#send .notice")[0].startswith("Pyytäjä: anna@kirjakauppa.example.")
    assert act(people[1])[0] == 303
    assert status(campaign) is CampaignStatus.SENDING


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("act", ["send", "pause", "resume", "cancel", "withdraw"])
def test_ss2_only_senders_send(enter, submit, campaign, role, act):
    enter(role=role)

    answer = submit("/staff/campaigns", to=f"/staff/campaigns/{campaign.id}/{act}", when="now", count="2")

    assert (answer.status_code == 403) == (role not in SENDERS)
    if role not in SENDERS:
        assert status(campaign) is CampaignStatus.DRAFT


def test_an_editor_sees_the_checks_and_no_button_to_send(page, enter):
    enter(role=Role.EDITOR)

    assert page().texts("#send button") == []
    assert page().texts("#send p") == [
        "Käyttäjätasosi ei riitä lähettämiseen. Pyydä sitä joltakulta, jolla on oikeus lähettää."
    ]


@pytest.mark.parametrize("path", ["send", "edit", "progress"])
def test_an_unknown_campaign_is_not_found(client, enter, path):
    enter(role=Role.ADMIN)

    assert client.get(f"/staff/campaigns/4711/{path}").status_code == 404
