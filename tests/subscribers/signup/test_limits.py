"""SU-7: how many signups, and how many mails, whoever asks and wherever they ask."""

import json
from collections import Counter
from datetime import timedelta
from http import HTTPStatus
from itertools import count

import pytest
from altcha import Challenge, Payload, solve_challenge
from sqlalchemy import select

from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.models import OutboxMail
from newsletter.ratelimit import limiter
from newsletter.subscribers import personal_data
from newsletter.subscribers.abuse import proof_of_work
from newsletter.subscribers.models import (
    Signup,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    SuppressionReason,
)
from newsletter.subscribers.signup import queue
from newsletter.subscribers.suppressions import suppress
from tests.subscribers.pages import Page
from tests.support.clock import NOW

BUSY_FI = "Lomaketta ei voi juuri nyt lähettää. Yritä uudelleen 10 minuutin kuluttua."


@pytest.fixture
def ask_by_api(client, finnish):
    def post(email="meri@example.com", lists=("suomeksi",), **more):
        sent = {"email": email, "lists": list(lists), "consent": True} | more
        return client.post("/api/v1/subscriptions", json=sent)

    return post


def solve(document):
    """Do the work that the browser's widget does."""
    challenge = Challenge.from_dict(document)
    found = solve_challenge(challenge)
    assert found is not None
    return Payload(challenge, found).to_base64()


@pytest.fixture
def solution(client):
    return lambda: solve(client.get("/subscribe/challenge").json)


@pytest.fixture
def cheap_work(monkeypatch):
    """A proof of work costs some 256 derivations; a test needs them to be short."""
    monkeypatch.setattr(proof_of_work, "COST", 1)


@pytest.fixture
def sign_up_from_anywhere(sign_up, cheap_work, solution):
    """Sign up from a network that nobody has used, with the work done."""
    networks = count(1)
    return lambda email: sign_up(email, ip=f"2001:db8:{next(networks)}::1", altcha=solution())


# --- one address -------------------------------------------------------------------------------------


def test_1000_signups_for_one_address_over_form_and_api_make_one_mail(
    sign_up, ask_by_api, change_settings, stored, monkeypatch
):
    change_settings(signup_limit_address="1/day;3/30day")

    answers = {ask().status_code for _ in range(20) for ask in (sign_up, ask_by_api)}
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(queue, "load_queued", lambda: 0)  # the rest waits until its loader comes back
        answers |= {ask().status_code for _ in range(480) for ask in (sign_up, ask_by_api)}
    assert queue.load_queued() == 960

    assert answers == {303, 202}
    assert [(mail.template, mail.address) for mail in stored(OutboxMail)] == [("confirm", "meri@example.com")]


def test_cancelling_makes_no_room_for_another_mail(request_link, client, sign_up, change_settings, stored):
    change_settings(signup_limit_address="1/day")
    client.post(request_link("cancel"))

    sign_up()

    assert len(stored(OutboxMail)) == 1
    assert (stored(Signup), stored(Subscriber)) == ([], [])


def test_erasing_makes_no_room_for_another_mail(sign_up, change_settings, stored):
    change_settings(signup_limit_address="1/day")
    sign_up()
    personal_data.erase([stored(Subscriber)[0].id], keep_until=None)
    db.session.commit()

    sign_up()

    assert [mail.address for mail in stored(OutboxMail)] == [None]


def test_three_mails_in_thirty_days_though_each_request_expires(sign_up, change_settings, clock, stored):
    change_settings(signup_limit_address="1/day;3/30day")

    for _fourth_day in range(0, 28, 4):
        sign_up()
        clock.shift(timedelta(days=4))

    assert len(stored(OutboxMail)) == 3


def test_who_confirmed_may_be_asked_again_the_same_day(
    request_link, client, sign_up, change_settings, make_subscriber, stored
):
    change_settings(signup_limit_address="1/day")
    client.post(request_link("confirm"))
    way_out = stored(OutboxMail)[-1].context["unsubscribe_url"]
    client.post(way_out.partition("8000")[2], data={"scope": "all"})

    sign_up()

    assert [mail.template for mail in stored(OutboxMail)][-1] == "confirm"


def test_the_counts_name_nobody(sign_up, app):
    sign_up("meri@example.com", ip="203.0.113.7")

    storage = limiter.storage()
    assert isinstance(storage, limiter.SqliteFileStorage)
    keys = [key for (key,) in storage._connection().execute("select key from hits")]

    assert len(keys) == 9
    assert not [key for key in keys if "meri" in key or "example" in key]


# --- one domain --------------------------------------------------------------------------------------


def test_a_domain_gets_30_mails_an_hour_and_the_others_wait_their_turn(
    sign_up_from_anywhere, change_settings, stored
):
    change_settings(signup_limit_domain="30/hour")

    for number in range(35):
        sign_up_from_anywhere(f"yksi{number}@Example.com")
        sign_up_from_anywhere(f"kaksi{number}@example.COM")
    sign_up_from_anywhere("meri@toinen.example")

    hours = Counter(
        (mail.due_at - NOW.replace(minute=0)) // timedelta(hours=1) for mail in stored(OutboxMail)
    )
    assert hours == {0: 31, 1: 30, 2: 10}


def test_who_comes_in_the_next_hour_waits_behind_those_before(
    sign_up_from_anywhere, change_settings, clock, stored
):
    change_settings(signup_limit_domain="2/hour")
    for number in range(3):
        sign_up_from_anywhere(f"yksi{number}@example.com")

    clock.shift(timedelta(hours=1))
    for number in range(2):
        sign_up_from_anywhere(f"kaksi{number}@example.com")

    ten, eleven = (NOW.replace(hour=hour, minute=0) for hour in (10, 11))
    assert [mail.due_at for mail in stored(OutboxMail)] == [NOW, NOW, ten, NOW + timedelta(hours=1), eleven]


def test_a_mail_that_waits_is_not_sent_before_its_turn(
    sign_up_from_anywhere, change_settings, clock, send_due, outgoing
):
    change_settings(signup_limit_domain="1/hour")
    sign_up_from_anywhere("yksi@example.com")
    sign_up_from_anywhere("kaksi@example.com")

    send_due()
    clock.shift(timedelta(hours=1))
    send_due()

    assert [to for to, _subject in outgoing.subjects] == ["yksi@example.com", "kaksi@example.com"]


def test_a_domain_whose_day_is_full_takes_nothing_in_and_says_so(
    sign_up_from_anywhere, ask_by_api, change_settings, stored
):
    change_settings(signup_limit_domain="2/day")

    answers = [sign_up_from_anywhere(f"yksi{number}@example.com") for number in range(4)]
    by_api = ask_by_api("yksi9@example.com", language="fi")

    assert [answer.status_code for answer in answers] == [303, 303, 503, 503]
    assert by_api.status_code == 503
    assert "Mitään ei tallennettu." in answers[2].text
    assert len(stored(OutboxMail)) == len(stored(Signup)) == 2
    assert [row.action for row in stored(AuditEntry)] == ["mail domain limit reached"]


def test_near_the_limit_of_a_domain_the_form_asks_for_work(
    sign_up, change_settings, stored, cheap_work, solution
):
    change_settings(signup_limit_domain="10/hour")
    for number in range(5):
        assert sign_up(f"yksi{number}@example.com", ip=f"198.51.{number}.1").status_code == 303

    asked = sign_up("kaksi@example.com", ip="203.0.113.7")
    elsewhere = sign_up("kaksi@toinen.example", ip="203.0.113.7")
    solved = sign_up("kaksi@example.com", ip="203.0.113.7", altcha=solution())

    assert (asked.status_code, asked.headers["Retry-After"]) == (429, "3600")
    assert len(Page(asked).texts("altcha-widget")) == 1
    assert (elsewhere.status_code, solved.status_code) == (303, 303)
    assert len(stored(OutboxMail)) == 7


def test_one_network_holds_up_nobody_else_at_a_domain(sign_up, change_settings, stored, cheap_work, solution):
    change_settings(signup_limit_domain="10/hour")
    for number in range(8):  # two of them this hour, the rest behind
        sign_up(f"yksi{number}@example.com", ip=f"2001:db8:1:{number}::1", altcha=solution())

    sign_up("meri@example.com", ip="203.0.113.7", altcha=solution())

    due = {mail.address: mail.due_at for mail in stored(OutboxMail)}
    ten, eleven, twelve = (NOW.replace(hour=hour, minute=0) for hour in (10, 11, 12))
    assert list(due.values()) == [NOW, NOW, ten, ten, eleven, eleven, twelve, twelve, NOW]
    assert len(due) == 9


def test_whether_an_address_is_known_does_not_show_in_how_crowded_its_domain_is(
    sign_up, make_subscriber, finnish, change_settings
):
    change_settings(signup_limit_domain="2/hour")
    make_subscriber("tilaaja@example.com", [finnish])
    sign_up("tilaaja@example.com", ip="198.51.100.1")
    sign_up("vieras@toinen.example", ip="198.51.100.1")

    answers = [sign_up(f"uusi@{domain}", ip="203.0.113.7") for domain in ("example.com", "toinen.example")]

    assert [answer.status_code for answer in answers] == [429, 429]


def test_what_sends_no_mail_takes_no_turn_of_the_domain(
    sign_up_from_anywhere, make_subscriber, finnish, change_settings, stored
):
    change_settings(signup_limit_domain="1/hour")
    make_subscriber("tilaaja@example.com", [finnish])
    suppress("kielto@example.com", SuppressionReason.BANNED, NOW)

    for address in ("tilaaja@example.com", "kielto@example.com", "uusi@example.com"):
        sign_up_from_anywhere(address)

    assert [(mail.template, mail.due_at) for mail in stored(OutboxMail)] == [
        ("already_subscribed", NOW),
        ("confirm", NOW),
    ]


def test_a_limit_reached_shows_the_same_page_and_leaves_nothing(sign_up, change_settings, stored):
    change_settings(signup_limit_address="1/hour")
    sign_up("yksi@example.com")

    answer = sign_up("yksi@example.com")

    assert (answer.status_code, answer.location) == (303, "/subscribe/sent?lang=fi")
    assert [row.address for row in stored(Subscriber)] == ["yksi@example.com"]
    assert (len(stored(Signup)), len(stored(OutboxMail))) == (1, 1)


def test_a_subscriber_is_not_touched_by_a_request_beyond_the_limit(
    sign_up, make_subscriber, finnish, english, change_settings, stored
):
    make_subscriber("meri@example.com", [finnish])
    change_settings(signup_limit_address="1/day")
    sign_up(lists="in-english")

    sign_up(lists="in-english")

    assert [row.status for row in stored(Subscription)] == [
        SubscriptionStatus.CONFIRMED,
        SubscriptionStatus.PENDING,
    ]


# --- one visitor -------------------------------------------------------------------------------------


def test_form_and_api_count_together_for_a_visitor(sign_up, ask_by_api, change_settings):
    change_settings(signup_limit_ip="2/minute")

    answers = [sign_up("yksi@example.com"), ask_by_api("kaksi@example.com"), sign_up("kolme@example.com")]
    answers.append(ask_by_api("nelja@example.com"))

    assert [answer.status_code for answer in answers] == [303, 202, 429, 429]
    assert [answer.headers["Retry-After"] for answer in answers[2:]] == ["60", "60"]


@pytest.mark.parametrize(
    ("one", "other", "status"),
    [
        pytest.param("2001:db8:1:1::1", "2001:db8:1:1:ffff::2", 429, id="one home"),
        pytest.param("2001:db8:1:1::1", "2001:db8:1:2::1", 303, id="two homes"),
        pytest.param("::ffff:203.0.113.7", "::ffff:203.0.113.8", 303, id="IPv4 written as IPv6"),
        pytest.param("203.0.113.7", "203.0.113.8", 303, id="IPv4"),
    ],
)
def test_a_visitor_with_ipv6_is_a_network(sign_up, change_settings, one, other, status):
    change_settings(signup_limit_ip="1/minute")
    sign_up("yksi@example.com", ip=one)

    assert sign_up("kaksi@example.com", ip=other).status_code == status


# --- everybody: the breaker --------------------------------------------------------------------------


def test_the_breaker_holds_up_form_and_api_alike(sign_up, ask_by_api, change_settings, stored):
    change_settings(signup_breaker="2/10minute")
    sign_up("yksi@example.com")
    ask_by_api("kaksi@example.com")

    form, api = sign_up("kolme@example.com"), ask_by_api("nelja@example.com", language="fi")

    assert (form.status_code, api.status_code) == (429, 429)
    assert (form.headers["Retry-After"], api.headers["Retry-After"]) == ("600", "600")
    assert api.json["detail"] == (
        "Pyyntöjä tulee juuri nyt hyvin paljon. Yritä myöhemmin uudelleen tai käytä lomaketta."
    )
    assert len(stored(Signup)) == 2


def test_without_scripts_the_form_says_honestly_when_to_try_again(sign_up, change_settings):
    change_settings(signup_breaker="1/10minute")
    sign_up("yksi@example.com")

    page = Page(sign_up("kaksi@example.com", tracking="yes"))

    assert page.status == HTTPStatus.TOO_MANY_REQUESTS
    assert page.texts("[role=alert] h2") == ["Pyyntöjä tulee juuri nyt hyvin paljon"]
    assert page.texts("[role=alert] p:not([hidden])") == [BUSY_FI]
    assert (page.value("email"), page.checked) == ("kaksi@example.com", ["consent", "tracking"])


def test_staff_are_told_once_in_each_window(sign_up, change_settings, clock, stored, caplog):
    change_settings(signup_breaker="1/10minute")
    for number in range(5):
        sign_up(f"tilaaja{number}@example.com")

    clock.shift(timedelta(minutes=11))
    for number in range(5, 8):
        sign_up(f"tilaaja{number}@example.com")

    assert [(row.action, row.actor, row.details) for row in stored(AuditEntry)] == [
        ("signup breaker tripped", "system", {"limit": "1 per 10 minute"})
    ] * 2
    assert caplog.messages.count("signup breaker tripped") == 2


def test_when_the_window_ends_the_form_is_open_again(sign_up, change_settings, clock):
    change_settings(signup_breaker="1/10minute")
    answers = [sign_up("yksi@example.com"), sign_up("kaksi@example.com")]

    clock.shift(timedelta(minutes=10, seconds=1))
    answers.append(sign_up("kaksi@example.com"))

    assert [answer.status_code for answer in answers] == [303, 429, 303]


def test_while_all_is_quiet_nobody_is_asked_to_work(client, sign_up, finnish):
    page = Page(client.get("/subscribe?lang=fi"))

    assert (page.texts("altcha-widget"), page.texts("script")) == ([], [])


def test_who_has_done_the_work_gets_in_while_the_breaker_is_open(
    client, sign_up, change_settings, stored, cheap_work, solution
):
    change_settings(signup_breaker="1/10minute")
    sign_up("yksi@example.com")
    sign_up("kaksi@example.com")
    assert len(Page(client.get("/subscribe?lang=fi")).texts("altcha-widget")) == 1

    answer = sign_up("kaksi@example.com", altcha=solution())

    assert (answer.status_code, len(stored(Signup))) == (303, 2)


def test_staff_are_told_though_the_one_too_many_had_done_the_work(
    sign_up, change_settings, stored, cheap_work, solution
):
    change_settings(signup_breaker="1/10minute")
    sign_up("yksi@example.com")

    answer = sign_up("kaksi@example.com", altcha=solution())

    assert answer.status_code == 303
    assert [row.action for row in stored(AuditEntry)] == ["signup breaker tripped"]


def test_work_counts_once(sign_up, change_settings, stored, cheap_work, solution):
    change_settings(signup_breaker="1/10minute")
    sign_up("yksi@example.com")
    done = solution()

    answers = [sign_up(f"tilaaja{number}@example.com", altcha=done) for number in range(3)]

    assert [answer.status_code for answer in answers] == [303, 429, 429]


def test_work_done_for_a_challenge_that_is_over_is_worthless(
    sign_up, change_settings, clock, cheap_work, solution
):
    change_settings(signup_breaker="1/day")
    sign_up("yksi@example.com")
    done = solution()

    clock.shift(timedelta(minutes=16))

    assert sign_up("kaksi@example.com", altcha=done).status_code == 429


def test_an_easier_challenge_than_ours_is_worthless(client, sign_up, change_settings, cheap_work):
    change_settings(signup_breaker="1/10minute")
    sign_up("yksi@example.com")
    ours = client.get("/subscribe/challenge").json
    ours["parameters"]["keyPrefix"] = ""

    assert sign_up("kaksi@example.com", altcha=solve(ours)).status_code == 429


@pytest.mark.parametrize("solution", ["", "x", "W10=", "bnVsbA==", "e30=", "\x00", "ä", "A" * 5000])
def test_whatever_is_sent_as_work_is_no_fault_of_ours(sign_up, change_settings, solution):
    change_settings(signup_breaker="1/10minute")
    sign_up("yksi@example.com")

    assert sign_up("kaksi@example.com", altcha=solution).status_code == 429


def test_a_challenge_is_ours_alone_and_not_kept(client, app):
    first, second = client.get("/subscribe/challenge"), client.get("/subscribe/challenge")

    assert first.json["signature"] != second.json["signature"]
    assert first.headers["Cache-Control"] == "no-store"
    assert json.loads(first.text)["parameters"]["algorithm"] == "PBKDF2/SHA-256"
    assert db.session.scalar(select(Signup.id)) is None
