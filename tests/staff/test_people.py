"""Subscribers and lists for staff: found, looked at, ended at a person's wish, and every look recorded."""

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.models import OutboxMail
from newsletter.staff.models import Role
from newsletter.subscribers import search
from newsletter.subscribers.models import Consent, Subscription, SubscriptionStatus, SuppressionReason
from newsletter.subscribers.suppressions import suppress
from tests.subscribers.pages import Page


@pytest.fixture
def people(make_list, make_subscriber):
    mailing_list = make_list("oma", "Oma kirje")
    addresses = ("anna.virtanen@kirjakauppa.example", "kalle@posti.example")
    made = [make_subscriber(address, [mailing_list]) for address in addresses]
    search.index_new_subscribers()
    return made


def addresses(response) -> list[str]:
    return Page(response).texts(".people tbody th")


def acts() -> list[str]:
    return list(db.session.scalars(sa.select(AuditEntry.action).order_by(AuditEntry.id)))


def test_everybody_is_listed_and_the_look_recorded(client, enter, people):
    enter(role=Role.PRIVACY)

    assert addresses(client.get("/staff/subscribers/")) == [person.address for person in people]
    assert acts() == ["subscribers listed"]


def test_a_word_of_the_address_finds_the_person(enter, people, submit):
    enter(role=Role.PRIVACY)

    assert addresses(submit("/staff/subscribers/", text="Virtanen")) == ["anna.virtanen@kirjakauppa.example"]
    assert Page(submit("/staff/subscribers/", text="ei-ole")).texts(".sheet h2") == ["Ketään ei löytynyt"]


def test_the_list_is_cut_down_to_a_list_and_a_status(client, enter, people, make_list, make_subscriber):
    enter(role=Role.PRIVACY)
    make_subscriber("pois@posti.example", [make_list("muu")], SubscriptionStatus.UNSUBSCRIBED)

    page = client.get("/staff/subscribers/?list=muu&status=unsubscribed")

    assert addresses(page) == ["pois@posti.example"]


def test_pages_go_on_to_the_end(client, enter, make_list, make_subscriber, submit):
    enter(role=Role.PRIVACY)
    mailing_list = make_list()
    numbers = [make_subscriber(f"nimi{number:02}@posti.example", [mailing_list]).id for number in range(51)]
    search.index_new_subscribers()

    first = client.get("/staff/subscribers/")
    assert (len(addresses(first)), 'rel="next"' in first.text) == (50, True)
    assert addresses(client.get(f"/staff/subscribers/?after={numbers[49]}")) == ["nimi50@posti.example"]
    found = submit("/staff/subscribers/", text="posti")
    after = Page(found).value("after")
    assert len(addresses(found)) == 50
    assert len(addresses(submit("/staff/subscribers/", text="posti", after=after))) == 1


def test_a_person_is_shown_with_their_lists(client, enter, people):
    enter(role=Role.PRIVACY)

    page = Page(client.get(f"/staff/subscribers/{people[0].id}"))

    assert (page.heading, page.texts(".data tbody th")) == (people[0].address, ["Oma kirje"])
    assert acts() == ["subscriber shown"]


def test_subscriptions_are_ended_after_a_second_look(enter, people, submit):
    enter(role=Role.PRIVACY)
    numbers = [str(person.id) for person in people]

    asked = submit("/staff/subscribers/", to="/staff/subscribers/end", person=numbers)
    assert Page(asked).texts(".names li") == [person.address for person in people]
    assert {row.status for person in people for row in person.subscriptions} == {SubscriptionStatus.CONFIRMED}

    done = submit("/staff/subscribers/", to="/staff/subscribers/end", person=numbers, sure="yes", list="oma")

    assert done.status_code == 303
    assert {row.status for person in people for row in person.subscriptions} == {
        SubscriptionStatus.UNSUBSCRIBED
    }


@pytest.mark.parametrize("person", [[], ["999999"], ["x"], ["99999999999999"], ["-1"]])
def test_ending_nobody_is_refused(enter, people, submit, person):
    enter(role=Role.PRIVACY)

    assert submit("/staff/subscribers/", to="/staff/subscribers/end", person=person).status_code == 422


@pytest.mark.parametrize(
    "query", ["?after=x", "?after=-5", "?after=99999999999999", "?list=%00", "?status=ei"]
)
def test_a_mangled_address_is_no_fault_of_ours(client, enter, people, query):
    enter(role=Role.PRIVACY)

    assert client.get(f"/staff/subscribers/{query}").status_code == 200


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR, Role.SENDER])
def test_who_needs_no_people_sees_none(client, enter, people, role):
    enter(role=role)

    assert client.get("/staff/subscribers/").status_code == 403
    assert "Tilaajat" not in Page(client.get("/staff/campaigns")).texts(".menu a")
    assert Page(client.get("/staff/lists/")).texts(".data tbody th a") == []


def test_a_list_of_people_counts_its_queries(app, client, enter, people, make_subscriber):
    enter(role=Role.PRIVACY)
    few = count_queries(client)
    for number in range(20):
        make_subscriber(f"lisa{number}@posti.example", [people[0].subscriptions[0].mailing_list])

    assert count_queries(client) == few


def count_queries(client) -> int:
    seen = []
    engine = db.engine

    def note(*_arguments) -> None:
        seen.append(1)

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        client.get("/staff/subscribers/")
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
    return len(seen)


def test_lists_are_shown_with_their_numbers(client, enter, people):
    enter()

    page = Page(client.get("/staff/lists/"))

    assert page.texts(".data tbody tr") == ["Oma kirje oma Suomi 2 0"]


def test_a_list_is_made_by_an_administrator(client, enter, submit):
    enter(role=Role.ADMIN)
    form = {"slug": "uusi", "name": "Uusi kirje", "language": "fi", "topics": "", "frequency": ""}

    assert submit("/staff/lists/", **form).location == "/staff/lists/"
    refused = Page(submit("/staff/lists/", **form))

    assert (refused.status, refused.errors) == (
        422,
        {"slug": "Tunnus on jo käytössä toisella listalla: uusi"},
    )


# --- entering somebody who asked (SU-10) ---------------------------------------------------------------

ENTER = "/staff/subscribers/new/"
FILLED = {"email": "meri@example.com", "lists": "oma", "way": "phone", "tongue": "fi"}


def mails() -> list[tuple[str, str | None]]:
    return [
        (mail.template, mail.address)
        for mail in db.session.scalars(sa.select(OutboxMail).order_by(OutboxMail.id))
    ]


def test_su10_who_asked_staff_gets_the_confirmation_mail(client, enter, make_list, submit):
    enter(role=Role.PRIVACY)
    make_list("oma", "Oma kirje")

    answer = submit(ENTER, **FILLED)

    assert (answer.status_code, answer.location) == (303, "/staff/subscribers/new/")
    assert mails() == [("confirm", "meri@example.com")]
    assert db.session.scalars(sa.select(Subscription.status)).all() == [SubscriptionStatus.PENDING]
    assert db.session.scalars(sa.select(Consent.method)).all() == ["phone"]
    assert acts() == ["subscription entered"]
    shown = client.get(ENTER)
    assert "Vahvistusviesti on matkalla." in shown.text
    assert "meri@example.com" not in shown.text + str(answer.headers)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        pytest.param({"email": "meri@"}, "email", id="no address"),
        pytest.param({"lists": "ei-ole"}, "lists", id="unknown list"),
        pytest.param({"lists": ""}, "lists", id="no list"),
        pytest.param({"way": ""}, "way", id="nothing says how"),
        pytest.param({"way": "import"}, "way", id="another way"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(enter, make_list, submit, wrong, field):
    enter(role=Role.ADMIN)
    make_list("oma", "Oma kirje")

    page = Page(submit(ENTER, **FILLED | wrong))

    assert page.status == 422
    assert set(page.errors) == {field}
    assert page.value("email") == (FILLED | wrong)["email"]
    assert (mails(), acts()) == ([], [])


def test_rp5_staff_cannot_enter_a_suppressed_address(enter, make_list, submit, now):
    enter(role=Role.PRIVACY)
    make_list("oma", "Oma kirje")
    suppress("meri@example.com", SuppressionReason.BANNED, now)

    page = Page(submit(ENTER, **FILLED))

    assert (page.status, set(page.errors), mails()) == (422, {"email"}, [])


def test_without_a_list_it_says_what_to_do_first(client, enter):
    enter(role=Role.PRIVACY)

    assert Page(client.get(ENTER)).texts(".sheet h2") == ["Listaa ei vielä ole"]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR, Role.SENDER])
def test_only_who_may_see_people_enters_them(client, enter, role):
    enter(role=role)

    assert client.get(ENTER).status_code == 403
