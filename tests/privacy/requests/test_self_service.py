"""A copy of one's data and one's own erasure, by a link to the mailbox (MU-6, RD-3, RD-4)."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser

from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.models import OutboxMail
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.subscribers import links
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.consent.tracking import choose_tracking
from newsletter.subscribers.models import OneTimeLink, Subscriber
from newsletter.tracking.models import Event, EventKind, MachineClass
from tests.subscribers.conftest import LOCAL
from tests.subscribers.pages import Page
from tests.support.apps import at_once
from tests.support.clock import NOW
from tests.support.gateway import gateway_of


@pytest.fixture
def meri(make_subscriber, make_list, make_campaign) -> Subscriber:
    """Make someone with something in every domain."""
    mailing_list = make_list("suomeksi", "Suomenkielinen uutiskirje")
    made: Subscriber = make_subscriber("meri@example.com", [mailing_list])
    edition = make_campaign([mailing_list]).editions[0]
    choose_tracking(made, granted=True, language="fi", now=NOW, visit=Visit("203.0.113.7"))
    delivery = Delivery(
        campaign_id=edition.campaign_id,
        subscriber_id=made.id,
        edition_id=edition.id,
        list_id=mailing_list.id,
        status=DeliveryStatus.ACCEPTED,
        accepted_at=NOW,
    )
    event = Event(
        at=NOW,
        campaign_id=edition.campaign_id,
        edition_id=edition.id,
        subscriber_id=made.id,
        kind=EventKind.OPEN,
        ip="198.51.100.2",
        user_agent="Thunderbird/128.4",
        machine_class=MachineClass.HUMAN,
        rules_version=1,
    )
    db.session.add_all([delivery, event])
    db.session.commit()
    return made


@pytest.fixture
def ask(client, meri) -> Callable[[str], str]:
    """Press a button of the own-details page and return the path of the link in the mail."""

    def press(action: str) -> str:
        client.post(f"/preferences/{links.PREFERENCES.make(meri.id)}?lang=fi", data={"action": action})
        mail = db.session.query(OutboxMail).order_by(OutboxMail.id.desc()).first()
        assert mail is not None
        assert mail.context is not None
        return str(mail.context["url"]).removeprefix(LOCAL)

    return press


def file_in(page: str) -> dict[str, Any]:
    """Open the file that a page carries."""
    (save,) = LexborHTMLParser(page).css("a[download]")
    kind, _comma, content = str(save.attributes["href"]).partition(",")
    assert kind == "data:application/json;base64"
    found: dict[str, Any] = json.loads(base64.b64decode(content))
    return found


def test_the_copy_holds_everything_every_domain_holds(client, ask):
    data = file_in(client.post(ask("copy")).text)

    assert (data["address"], data["copied_at"]) == ("meri@example.com", "2026-03-03T09:30:00+00:00")
    assert [row["list"] for row in data["subscriptions"]] == ["suomeksi"]
    assert [row["ip"] for row in data["consents"]] == ["203.0.113.7"]
    assert [row["status"] for row in data["deliveries"]] == ["accepted"]
    assert [row["ip"] for row in data["events"]] == ["198.51.100.2"]


def test_the_copy_can_be_read_without_the_file(client, ask):
    page = Page(client.post(ask("copy")))

    assert (page.status, page.heading) == (200, "Tietosi")
    shown = " ".join(page.texts("dd"))
    assert [part for part in ("meri@example.com", "suomeksi", "198.51.100.2") if part not in shown] == []


def test_the_copy_is_given_once(client, ask):
    path = ask("copy")
    client.post(path)

    assert (client.post(path).status_code, client.get(path).status_code) == (410, 410)


def test_taking_the_copy_is_recorded(client, ask, meri):
    client.post(ask("copy"))

    acts = [
        (row.actor, row.action, row.object) for row in db.session.query(AuditEntry).order_by(AuditEntry.id)
    ]
    assert acts[-1] == ("person", "own data copied", f"subscriber:{meri.id}")


def test_the_copy_has_what_was_not_loaded_yet(app, client, ask, meri, make_campaign):
    edition = make_campaign([meri.subscriptions[0].mailing_list]).editions[0]
    spool = gateway_of(app).spool
    spool.append(f'[1772530200000,"open",{edition.id},{meri.id},null,"198.51.100.9","Mutt"]\n'.encode())
    spool.close()

    data = file_in(client.post(ask("copy")).text)

    assert [row["ip"] for row in data["events"]] == ["198.51.100.2", "198.51.100.9"]


def test_the_copy_is_in_nobodys_cache_and_loads_nothing(client, ask):
    response = client.post(ask("copy"))

    assert response.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


def test_one_button_erases(client, ask):
    page = Page(client.get(ask("erase")))

    assert page.texts("main button") == ["Poista kaikki nyt"]


def test_erasing_oneself_works_at_once(real_app, client, ask):
    page = Page(client.post(ask("erase")))

    assert (page.status, page.heading) == (200, "Tietosi on poistettu")
    assert [db.session.query(table).count() for table in (Subscriber, OneTimeLink, Delivery, Event)] == [
        0
    ] * 4


def test_the_page_says_what_stays(real_app, client, ask):
    page = Page(client.post(ask("erase")))

    assert page.texts("[role=status] p")[1] == (
        "Säilytämme 3 vuotta ilman osoitettasi tiedon siitä, mihin olet suostunut ja milloin."
        " Jos osoitteeseesi ei saa lähettää viestejä, myös esto jää voimaan."
    )


def test_erasing_oneself_is_recorded_by_number_alone(real_app, client, ask, meri):
    person = meri.id

    client.post(ask("erase"))

    acts = [
        (row.actor, row.action, row.object) for row in db.session.query(AuditEntry).order_by(AuditEntry.id)
    ]
    assert acts[-1] == ("person", "person erased", f"subscriber:{person}")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_after_the_erasure_the_link_is_dead_and_older_ones_say_not_on_the_list(
    real_app, client, ask, meri, method
):
    details = f"/preferences/{links.PREFERENCES.make(meri.id)}?lang=fi"
    path = ask("erase")
    client.post(path)

    assert client.open(path, method=method).status_code == 410
    assert (client.open(details, method=method).status_code, Page(client.get(details)).heading) == (
        200,
        "Et ole listalla",
    )


def test_of_two_presses_at_once_one_erases(real_app, client, ask):
    path = ask("erase")

    answers = at_once(real_app, *[lambda: real_app.test_client().post(path).status_code] * 3)

    assert sorted(answers) == [200, 410, 410]
    acts = [row.action for row in db.session.query(AuditEntry).order_by(AuditEntry.id)]
    assert acts.count("person erased") == 1


def test_of_two_presses_at_once_one_gets_the_copy(real_app, client, ask):
    path = ask("copy")

    answers = at_once(real_app, *[lambda: real_app.test_client().post(path).status_code] * 3)

    assert sorted(answers) == [200, 410, 410]
