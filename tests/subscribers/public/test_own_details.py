"""What goes through the mailbox: another address, allowing tracking, another language (MU-6)."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from newsletter.ledger.audit import AuditEntry
from newsletter.mail.models import OutboxMail
from newsletter.subscribers import links, one_time_links
from newsletter.subscribers.addresses import hash_address, parse_address
from newsletter.subscribers.models import (
    Consent,
    ConsentKind,
    MailingList,
    OneTimeLink,
    Purpose,
    Signup,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    SuppressionReason,
    TrackingState,
    Wording,
)
from newsletter.subscribers.one_time_links import send_link_to_new_address
from newsletter.subscribers.suppressions import suppress
from tests.subscribers.conftest import LOCAL
from tests.subscribers.pages import Page
from tests.support.apps import at_once
from tests.support.clock import NOW
from tests.support.mailbox import html_of, text_of

SENT = "Lähetimme sinulle linkin, joka on voimassa 30 minuuttia."
DEAD = "Linkki ei ole enää voimassa. Pyydä uusi linkki omien tilaustietojesi sivulla."
NEUTRAL = "Jos uutta osoitetta voi käyttää, lähetimme siihen linkin, joka on voimassa 30 minuuttia."


@pytest.fixture
def meri(make_subscriber, finnish) -> Subscriber:
    made: Subscriber = make_subscriber("meri@example.com", [finnish])
    return made


@pytest.fixture
def ask(client, meri, stored) -> Callable[..., str]:
    """Press a button of the own-details page and return the path of the link in the mail."""

    def press(action: str, **form: object) -> str:
        client.post(details_of(meri), data={"action": action, **form})
        return path_in(stored(OutboxMail)[-1])

    return press


@pytest.fixture
def ask_for_address(client, ask, stored) -> Callable[[str], str]:
    """Go as far as the mail to the new address and return the path of its link."""

    def press(address: str = "uusi@example.com") -> str:
        client.post(ask("address"), data={"email": address})
        return path_in(stored(OutboxMail)[-1])

    return press


def details_of(subscriber: Subscriber) -> str:
    return f"/preferences/{links.PREFERENCES.make(subscriber.id)}?lang=fi"


def path_in(mail: OutboxMail) -> str:
    assert mail.context is not None
    return str(mail.context["url"]).removeprefix(LOCAL)


def mails(stored: Callable[..., list[OutboxMail]]) -> list[tuple[str, str | None]]:
    return [(mail.template, mail.address) for mail in stored(OutboxMail)]


# --- the link --------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["address", "copy", "erase"])
def test_what_a_stranger_must_not_do_is_asked_from_the_mailbox(client, meri, stored, action):
    page = Page(client.post(details_of(meri), data={"action": action}))

    assert page.texts("[role=status] p") == [SENT]
    assert mails(stored) == [("fresh_link", "meri@example.com")]


def test_the_mail_says_what_was_asked_for_and_until_when_it_works(client, meri, send_due, outgoing):
    client.post(details_of(meri), data={"action": "erase"})
    send_due()

    text = " ".join(text_of(outgoing.last).split())
    assert (outgoing.last["Subject"], outgoing.last["Auto-Submitted"]) == ("Poista tietosi", "auto-generated")
    assert "Linkki toimii kerran ja on voimassa 3.3.2026 klo 12.00 asti." in text
    assert "<img" not in html_of(outgoing.last)


def test_the_mail_speaks_the_persons_language(client, make_subscriber, english, send_due, outgoing):
    person = make_subscriber("mary@example.com", [english])

    client.post(details_of(person), data={"action": "copy"})
    send_due()

    assert outgoing.last["Subject"] == "A copy of your data"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("action", ["address", "copy", "erase"])
def test_opening_the_link_changes_nothing(client, ask, dump, action, method):
    path = ask(action)
    before = dump()

    answers = [client.open(path, method=method).status_code for _ in range(10)]

    assert (answers, dump()) == ([200] * 10, before)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("action", ["address", "copy", "erase"])
def test_the_link_works_for_thirty_minutes(client, ask, clock, dump, action, method):
    path = ask(action)
    before = dump()

    clock.shift(timedelta(minutes=30))
    page = Page(client.open(path, method=method, data={"email": "uusi@example.com"}))

    assert (page.status, page.texts("[role=status] p"), dump()) == (410, [DEAD], before)


def test_the_link_works_until_its_last_second(client, ask, clock):
    path = ask("address")

    clock.shift(timedelta(minutes=29, seconds=59))

    assert client.post(path, data={"email": "uusi@example.com"}).status_code == 200


def test_the_link_works_once(client, ask, dump):
    path = ask("address")
    client.post(path, data={"email": "uusi@example.com"})
    before = dump()

    page = Page(client.post(path, data={"email": "toinen@example.com"}))

    assert (page.status, page.texts("[role=status] p"), dump()) == (410, [DEAD], before)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("page", ["copy", "erase", "new-address", "choice"])
def test_a_link_opens_only_what_it_was_sent_for(client, ask, dump, page, method):
    path = ask("address").replace("/address/", f"/{page}/")
    before = dump()

    assert (client.open(path, method=method).status_code, dump()) == (410, before)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("page", ["address", "copy", "erase", "new-address", "choice"])
def test_a_link_that_is_not_ours_is_refused(client, meri, dump, page, method):
    before = dump()

    forged = client.open(f"/preferences/{page}/forged.signature", method=method)

    assert (forged.status_code, dump()) == (404, before)


def test_the_database_cannot_open_the_link(ask, stored):
    token = ask("erase").split("/")[3].partition("?")[0]

    assert token not in str([vars(link) for link in stored(OneTimeLink)])


def test_whoever_asks_again_and_again_sends_three_links_an_hour(client, meri, clock, stored):
    pages = [Page(client.post(details_of(meri), data={"action": "erase"})) for _ in range(5)]

    assert [page.texts("[role=status] p") for page in pages] == [[SENT]] * 5
    assert len(stored(OutboxMail)) == 3
    clock.shift(timedelta(hours=1))
    client.post(details_of(meri), data={"action": "erase"})
    assert len(stored(OutboxMail)) == 4


@pytest.mark.parametrize("reason", SuppressionReason)
def test_an_address_we_must_not_write_to_is_not_written_to(client, meri, now, stored, reason):
    suppress("meri@example.com", reason, now)

    page = Page(client.post(details_of(meri), data={"action": "copy"}))

    assert (page.texts("[role=status] p"), stored(OutboxMail)) == ([SENT], [])


def test_links_are_forgotten_after_a_day(ask, clock, stored, app):
    ask("copy")

    clock.shift(timedelta(hours=24))
    forgotten = one_time_links.delete_old_links(NOW + timedelta(hours=24))

    assert (forgotten, stored(OneTimeLink)) == (1, [])


# --- another address -------------------------------------------------------------------------------


def test_nothing_changes_before_the_new_address_has_answered(client, ask, meri, stored):
    page = Page(client.post(ask("address"), data={"email": "uusi@example.com"}))

    assert (page.status, page.texts("[role=status] p")[0]) == (200, NEUTRAL)
    assert [row.address for row in stored(Subscriber)] == ["meri@example.com"]
    assert mails(stored) == [("fresh_link", "meri@example.com"), ("new_address", "uusi@example.com")]


def test_the_mail_to_the_new_address_names_nobody(ask_for_address, send_due, outgoing):
    ask_for_address()
    send_due()

    (mail,) = outgoing.to("uusi@example.com")
    assert ("meri" in text_of(mail), "meri" in html_of(mail)) == (False, False)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_opening_the_link_to_the_new_address_changes_nothing(client, ask_for_address, dump, method):
    path = ask_for_address()
    before = dump()

    assert (client.open(path, method=method).status_code, dump()) == (200, before)


def test_the_new_address_takes_the_place_of_the_old_one(client, ask_for_address, stored):
    page = Page(client.post(ask_for_address("Uusi@Example.com")))

    assert (page.status, page.heading) == (200, "Osoitteesi on vaihdettu")
    assert [(row.address, row.address_key, row.address_hash) for row in stored(Subscriber)] == [
        ("Uusi@example.com", "uusi@example.com", hash_address("uusi@example.com"))
    ]


def test_subscriptions_and_consents_stay_with_the_person(client, request_link, stored):
    client.post(request_link("confirm", email="meri@example.com"))
    (person,) = stored(Subscriber)
    client.post(details_of(person), data={"action": "address"})
    client.post(path_in(stored(OutboxMail)[-1]), data={"email": "uusi@example.com"})

    client.post(path_in(stored(OutboxMail)[-1]))

    assert [(row.subscriber_id, row.status) for row in stored(Subscription)] == [
        (person.id, SubscriptionStatus.CONFIRMED)
    ]
    assert {row.subscriber_id for row in stored(Consent)} == {person.id}


def test_the_old_address_is_told(client, ask_for_address, send_due, outgoing):
    path = ask_for_address()
    send_due()

    client.post(path)
    send_due()

    assert outgoing.subjects[-1] == ("meri@example.com", "Uutiskirjeesi osoite on vaihdettu")
    assert "tietosuoja@kirjakauppa.example" in text_of(outgoing.last)
    assert "uusi@" not in text_of(outgoing.last)


def test_a_change_of_address_is_recorded_without_an_address(client, ask_for_address, meri, stored):
    client.post(ask_for_address())

    assert [(row.actor, row.action, row.object, row.details) for row in stored(AuditEntry)] == [
        ("person", "address changed", f"subscriber:{meri.id}", None)
    ]


def test_links_sent_to_the_old_mailbox_end_with_the_change(client, ask, ask_for_address, stored):
    old = ask("erase")

    client.post(ask_for_address())

    assert (client.post(old).status_code, len(stored(Subscriber))) == (410, 1)


def test_a_request_waiting_in_the_old_mailbox_ends_with_the_change(
    client, ask_for_address, request_link, english, stored
):
    confirm = request_link("confirm", email="meri@example.com", lists="in-english")

    client.post(ask_for_address())

    assert (client.post(confirm).status_code, stored(Signup)) == (410, [])
    assert [row.mailing_list.slug for row in stored(Subscription)] == ["suomeksi"]


def test_an_address_of_someone_else_gets_the_same_answer(client, ask, make_subscriber, finnish, stored):
    make_subscriber("kalle@example.com", [finnish])

    page = Page(client.post(ask("address"), data={"email": "Kalle@example.com"}))

    assert (page.status, page.texts("[role=status] p")[0]) == (200, NEUTRAL)
    assert mails(stored) == [("fresh_link", "meri@example.com"), ("address_taken", "kalle@example.com")]


def test_the_other_person_hears_of_it_once_a_day(client, ask, make_subscriber, finnish, stored):
    make_subscriber("kalle@example.com", [finnish])

    for path in [ask("address"), ask("address")]:
        client.post(path, data={"email": "kalle@example.com"})

    assert [template for template, _to in mails(stored)].count("address_taken") == 1


@pytest.mark.parametrize("status", [SubscriptionStatus.PENDING, SubscriptionStatus.UNSUBSCRIBED])
def test_who_waits_or_has_left_hears_nothing(client, ask, make_subscriber, finnish, stored, status):
    make_subscriber("kalle@example.com", [finnish], status)

    client.post(ask("address"), data={"email": "kalle@example.com"})

    assert [template for template, _to in mails(stored)] == ["fresh_link"]


@pytest.mark.parametrize("reason", SuppressionReason)
def test_a_suppressed_address_gets_the_same_answer_and_no_mail(client, ask, now, stored, reason):
    suppress("estetty@example.com", reason, now)

    page = Page(client.post(ask("address"), data={"email": "estetty@example.com"}))

    assert (page.texts("[role=status] p")[0], [template for template, _to in mails(stored)]) == (
        NEUTRAL,
        ["fresh_link"],
    )


def test_a_stranger_is_asked_once_a_day(client, ask, stored):
    for path in [ask("address"), ask("address")]:
        client.post(path, data={"email": "uusi@example.com"})

    assert [template for template, _to in mails(stored)].count("new_address") == 1


def test_a_bad_address_is_told_and_the_link_goes_on_working(client, ask, stored):
    path = ask("address")

    page = Page(client.post(path, data={"email": "uusi@"}))

    assert (page.status, page.value("email")) == (422, "uusi@")
    assert page.errors == {"email": "Anna sähköpostiosoite muodossa nimi@esimerkki.fi."}
    assert page.summary == [("#email", "Anna sähköpostiosoite muodossa nimi@esimerkki.fi.")]
    client.post(path, data={"email": "uusi@example.com"})
    assert mails(stored)[-1] == ("new_address", "uusi@example.com")


def test_an_address_taken_meanwhile_is_left_alone(client, ask_for_address, make_subscriber, finnish, stored):
    path = ask_for_address()
    make_subscriber("uusi@example.com", [finnish])

    assert client.post(path).status_code == 410
    assert [row.address for row in stored(Subscriber)] == ["meri@example.com", "uusi@example.com"]


def test_an_address_suppressed_meanwhile_is_left_alone(client, ask_for_address, now, stored):
    path = ask_for_address()
    suppress("uusi@example.com", SuppressionReason.BANNED, now)

    assert client.post(path).status_code == 410
    assert [row.address for row in stored(Subscriber)] == ["meri@example.com"]


def test_a_mere_request_takes_no_other_address(client, make_subscriber, finnish, stored):
    waiting = make_subscriber("odottaja@example.com", [finnish], SubscriptionStatus.PENDING)
    client.post(details_of(waiting), data={"action": "address"})

    client.post(path_in(stored(OutboxMail)[-1]), data={"email": "uusi@example.com"})

    assert [template for template, _to in mails(stored)] == ["fresh_link"]


# --- tracking and language -------------------------------------------------------------------------


def test_allowing_tracking_waits_for_the_mailbox(client, meri, stored):
    page = Page(client.post(details_of(meri), data={"lists": "suomeksi", "tracking": "yes"}))

    assert page.texts("[role=status] p")[1].startswith("Salli seuranta tai vaihda kieli avaamalla linkki")
    assert [row.tracking for row in stored(Subscriber)] == [TrackingState.UNKNOWN]
    assert (mails(stored), stored(Consent)) == ([("fresh_link", "meri@example.com")], [])


def test_allowing_tracking_is_proved_by_the_words_on_the_page(client, ask, stored):
    path = ask("save", lists="suomeksi", tracking="yes")
    words = Page(client.get(path)).texts("main p")[0]

    client.post(path, environ_base={"REMOTE_ADDR": "203.0.113.7"})

    (row,) = stored(Consent)
    assert (row.kind, row.purpose, row.method, row.at, row.ip) == (
        ConsentKind.CONFIRMED,
        Purpose.TRACKING,
        "mail",
        NOW,
        "203.0.113.7",
    )
    assert [text.text for text in stored(Wording)] == [words]
    assert [row.tracking for row in stored(Subscriber)] == [TrackingState.GRANTED]


def test_refusing_tracking_works_at_once(client, make_subscriber, finnish, stored):
    person = make_subscriber("kalle@example.com", [finnish], tracking=TrackingState.GRANTED)

    client.post(details_of(person), data={"lists": "suomeksi"})

    assert [row.tracking for row in stored(Subscriber)] == [TrackingState.REFUSED]
    assert stored(OutboxMail) == []


def test_where_silence_is_measured_saving_asks_nothing(client, meri, change_settings, stored):
    change_settings(tracking="notice")

    client.post(details_of(meri), data={"lists": "suomeksi", "tracking": "yes"})

    assert (stored(OutboxMail), stored(Consent)) == ([], [])


def test_another_language_waits_for_the_mailbox(client, ask, stored):
    path = ask("save", lists="suomeksi", mail_language="en")
    assert [row.language for row in stored(Subscriber)] == ["fi"]

    client.post(path)

    assert [row.language for row in stored(Subscriber)] == ["en"]
    assert [row.action for row in stored(AuditEntry)] == ["language changed"]


def test_leaving_works_at_once_beside_what_waits(client, make_subscriber, finnish, english, stored):
    person = make_subscriber("kalle@example.com", [finnish, english])

    client.post(details_of(person), data={"lists": "suomeksi", "mail_language": "en"})

    assert [row.status for row in stored(Subscription)] == [
        SubscriptionStatus.CONFIRMED,
        SubscriptionStatus.UNSUBSCRIBED,
    ]
    assert [row.language for row in stored(Subscriber)] == ["fi"]


def test_a_language_we_do_not_speak_is_passed_over(client, meri, stored):
    client.post(details_of(meri), data={"lists": "suomeksi", "mail_language": "sv"})

    assert stored(OutboxMail) == []


# --- two at once -----------------------------------------------------------------------------------


def test_of_two_presses_at_once_one_changes_the_address(real_app, client, ask_for_address, stored):
    path = ask_for_address()

    answers = at_once(real_app, *[lambda: real_app.test_client().post(path).status_code] * 4)

    assert sorted(answers) == [200, 410, 410, 410]
    assert [template for template, _to in mails(stored)].count("address_changed") == 1


def test_of_two_people_at_once_one_gets_the_address(
    real_app, client, ask_for_address, make_subscriber, finnish, stored
):
    mine = ask_for_address("uusi@example.com")
    kalle = make_subscriber("kalle@example.com", [finnish])
    send_link_to_new_address(kalle, parse_address("uusi@example.com"), now=NOW)
    his = path_in(stored(OutboxMail)[-1])

    answers = at_once(
        real_app,
        lambda: real_app.test_client().post(mine).status_code,
        lambda: real_app.test_client().post(his).status_code,
    )

    assert sorted(answers) == [200, 410]
    assert [row.address for row in stored(Subscriber)].count("uusi@example.com") == 1


def test_a_signup_at_the_same_moment_ends_in_one_owner(
    real_app, client, ask_for_address, finnish: MailingList, stored
):
    path = ask_for_address()
    form = {"email": "uusi@example.com", "lists": "suomeksi", "consent": "yes"}

    change, signup = at_once(
        real_app,
        lambda: real_app.test_client().post(path).status_code,
        lambda: real_app.test_client().post("/subscribe", data=form).status_code,
    )

    assert (change in {200, 410}, signup) == (True, 303)
    assert [row.address_key for row in stored(Subscriber)].count("uusi@example.com") == 1


def test_links_asked_for_at_once_keep_to_the_limit(real_app, client, meri, stored):
    path = details_of(meri)

    at_once(real_app, *[lambda: real_app.test_client().post(path, data={"action": "copy"})] * 6)

    assert len(stored(OutboxMail)) == 3
