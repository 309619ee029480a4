"""The form, from what a visitor fills in to what is stored and sent."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest

from newsletter.mail.models import OutboxMail
from newsletter.subscribers.models import (
    Consent,
    ConsentKind,
    Purpose,
    Signup,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    SuppressionReason,
    TrackingState,
    Wording,
)
from newsletter.subscribers.suppressions import suppress
from tests.subscribers.pages import Page
from tests.support.clock import NOW
from tests.support.mailbox import html_of, links_of, text_of

WEB_FORM = "https://www.kirjakauppa.example/tilaa?kampanja=7#lomake"
BROWSER = {"Referer": WEB_FORM, "User-Agent": "Firefox/140.0"}
IN_FINNISH, IN_ENGLISH = "Vahvista uutiskirjeen tilaus", "Confirm your newsletter subscription"


IPS = ("203.0.113.7", "198.51.100.2")


def lists_named_in(message: EmailMessage) -> list[str]:
    return [line.removeprefix("- ") for line in text_of(message).splitlines() if line.startswith("- ")]


# --- a good form -----------------------------------------------------------------------------------


def test_signing_up_leads_to_a_page_in_the_forms_language(client, sign_up):
    response = sign_up(lang="fi")

    page = Page(client.get(response.location))
    assert (response.status_code, response.location) == (303, "/subscribe/sent?lang=fi")
    assert page.texts("[role=status] p") == [
        "Kiitos! Jos osoitteella ei vielä ole tilausta, lähetimme siihen vahvistusviestin. Tilaus alkaa vasta,"
        " kun vahvistat sen. Tarkista tarvittaessa myös roskapostikansio.",
        "Eikö viesti tullut? Tarkista osoite ja täytä lomake uudelleen. Lähetämme viestin enintään kerran"
        " vuorokaudessa.",
    ]


def test_signing_up_stores_a_person_who_is_on_no_list_yet(sign_up, english, stored):
    sign_up("Meri.Virta@Example.COM", lists=["suomeksi", "in-english"])

    (subscriber,) = stored(Subscriber)
    assert (subscriber.address, subscriber.tracking) == ("Meri.Virta@example.com", TrackingState.UNKNOWN)
    assert [(row.mailing_list.slug, row.status, row.confirmed_at) for row in subscriber.subscriptions] == [
        ("suomeksi", SubscriptionStatus.PENDING, None),
        ("in-english", SubscriptionStatus.PENDING, None),
    ]


def test_the_request_can_be_confirmed_for_seven_days(sign_up, stored):
    sign_up()

    (signup,) = stored(Signup)
    assert (signup.created_at, signup.expires_at) == (NOW, datetime(2026, 3, 10, 9, 30, tzinfo=UTC))
    assert signup.confirmed_at is None


def test_one_mail_asks_for_all_the_lists(sign_up, english, send_due, outgoing):
    sign_up(lists=["suomeksi", "in-english"])

    send_due()

    assert outgoing.subjects == [("meri@example.com", "Vahvista uutiskirjeen tilaus")]
    assert lists_named_in(outgoing.last) == ["Suomenkielinen uutiskirje", "Newsletter in English"]
    assert [len(links_of(outgoing.last, kind)) for kind in ("confirm", "cancel", "preferences")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("lists", "page_language", "subject"),
    [
        pytest.param(["in-english"], "fi", IN_ENGLISH, id="English list, Finnish page"),
        pytest.param(["suomeksi"], "en", IN_FINNISH, id="Finnish list, English page"),
        pytest.param(["suomeksi", "in-english"], "en", IN_ENGLISH, id="both lists, English page"),
        pytest.param(["suomeksi", "in-english"], "fi", IN_FINNISH, id="both lists, Finnish page"),
    ],
)
def test_the_mail_speaks_its_lists_language_or_else_the_pages(
    sign_up, english, send_due, outgoing, lists, page_language, subject
):
    sign_up(lists=lists, lang=page_language)

    send_due()

    assert outgoing.last["Subject"] == subject


def test_the_mail_is_fixed_and_holds_nothing_that_the_visitor_wrote(sign_up, send_due, outgoing):
    """CO-3: three links, no picture, no offer."""
    sign_up(
        "voita-nyt@example.com",
        name="Ilmainen lahja https://www.huijaus.example/",
        headers={"Referer": "https://www.huijaus.example/", "User-Agent": "Ilmainen lahja"},
    )

    send_due()

    mail = outgoing.last
    written = text_of(mail) + html_of(mail)
    assert mail["Auto-Submitted"] == "auto-generated"
    assert [word for word in ("lahja", "huijaus", "<img", "/o/", "/c/") if word in written] == []
    assert [len(links_of(mail, kind)) for kind in ("confirm", "cancel", "preferences")] == [1, 1, 1]


def test_nobody_is_reminded(sign_up, clock, send_due, outgoing):
    """CO-6."""
    sign_up()
    for _day in range(9):
        send_due()
        clock.shift(timedelta(days=1))

    assert len(outgoing.subjects) == 1


def test_the_evidence_has_a_row_for_each_box_and_list(sign_up, finnish, english, stored):
    sign_up(lists=["suomeksi", "in-english"], tracking="yes")

    assert [(row.kind, row.purpose, row.list_id) for row in stored(Consent)] == [
        (ConsentKind.ASKED, Purpose.NEWSLETTER, finnish.id),
        (ConsentKind.ASKED, Purpose.NEWSLETTER, english.id),
        (ConsentKind.ASKED, Purpose.TRACKING, None),
    ]


def test_the_evidence_says_when_how_and_from_where(sign_up, stored):
    """SU-5."""
    sign_up(headers=BROWSER, ip="203.0.113.7")

    (row,) = stored(Consent)
    assert (row.at, row.method, row.notice_version) == (NOW, "form", 1)
    assert (row.ip, row.user_agent) == ("203.0.113.7", "Firefox/140.0")


def test_nobody_is_believed_about_another_ip(sign_up, stored):
    sign_up(headers={"X-Forwarded-For": "198.51.100.2", "Forwarded": "for=198.51.100.2"})

    assert [row.ip for row in stored(Consent)] == ["127.0.0.1"]


def test_the_form_address_is_kept_without_query_and_fragment(sign_up, stored):
    sign_up(headers=BROWSER)

    assert [row.form_url for row in stored(Consent)] == ["https://www.kirjakauppa.example/tilaa"]


def test_without_a_referrer_the_form_is_our_own(sign_up, stored):
    sign_up(headers={"Referer": ""})

    assert [row.form_url for row in stored(Consent)] == ["http://localhost/subscribe"]


@pytest.mark.parametrize("referrer", ["http://[tilaa", "ei-osoite", "https://user:secret@" + "a" * 600])
def test_a_broken_referrer_stops_nobody(sign_up, stored, referrer):
    response = sign_up(headers={"Referer": referrer})

    assert (response.status_code, len(stored(Subscriber))) == (303, 1)


@pytest.mark.parametrize("language", ["fi", "en"])
def test_the_wordings_kept_are_those_on_the_page(client, sign_up, stored, language):
    """SU-5."""
    page = Page(client.get(f"/subscribe?lang={language}"))

    sign_up(tracking="yes", lang=language)

    assert [(row.purpose, row.language, row.version, row.text) for row in stored(Wording)] == [
        (Purpose.NEWSLETTER, language, 1, page.label("consent")),
        (Purpose.TRACKING, language, 1, page.label("tracking")),
    ]


def test_a_bare_form_of_another_site_needs_no_cookie_and_no_token(app, finnish, stored):
    elsewhere = {"Origin": "https://www.kirjakauppa.example", "Sec-Fetch-Site": "cross-site"}

    response = app.test_client().post(
        "/subscribe",
        data={"email": "meri@example.com", "lists": "suomeksi", "consent": "yes"},
        headers=elsewhere,
    )

    assert (response.status_code, len(stored(Signup))) == (303, 1)


# --- the form as it is first shown -----------------------------------------------------------------


def test_no_box_is_ticked_beforehand(client, finnish, english):
    """SU-1."""
    page = Page(client.get("/subscribe?lang=fi"))

    assert (page.checked, page.value("email")) == ([], "")


def test_the_only_list_needs_no_choosing(client, finnish):
    """SU-1: none is chosen beforehand when there are several."""
    page = Page(client.get("/subscribe?lang=fi"))

    assert (page.value("lists"), page.checked) == ("suomeksi", [])


def test_the_form_says_who_writes_about_what_and_how_often(client, make_list):
    """SU-4."""
    make_list(topics="Uutuudet ja tapahtumat", frequency="Kerran kuussa")

    page = Page(client.get("/subscribe?lang=fi"))

    assert page.texts(".facts dd") == [
        "Kirjakauppa Oy",
        "Uutuudet ja tapahtumat",
        "Kerran kuussa",
        "Milloin tahansa jokaisessa uutiskirjeessä olevan linkin kautta.",
        "Tietosuojaseloste",
    ]


def test_without_lists_there_is_nothing_to_fill_in(client):
    page = Page(client.get("/subscribe?lang=fi"))

    assert (page.heading, page.texts("form")) == ("Tilattavaa uutiskirjettä ei vielä ole", [])


def test_where_nothing_is_measured_nobody_is_asked_about_it(client, finnish, change_settings):
    """SU-3: no other personal field is asked either."""
    change_settings(tracking="off")

    page = Page(client.get("/subscribe?lang=fi"))

    assert page.texts("[for=tracking]") == []


# --- a form with a fault ---------------------------------------------------------------------------

BAD_ADDRESS = {"email": "Anna sähköpostiosoite muodossa nimi@esimerkki.fi."}
BAD_FORMS = [
    pytest.param(
        {"consent": None}, {"consent": "Rastita kohta Haluan tilata uutiskirjeen."}, id="no consent"
    ),
    pytest.param(
        {"consent": "on"}, {"consent": "Rastita kohta Haluan tilata uutiskirjeen."}, id="other consent"
    ),
    pytest.param({"lists": None}, {"lists": "Valitse vähintään yksi uutiskirje."}, id="no list"),
    pytest.param({"lists": ""}, {"lists": "Valitse vähintään yksi uutiskirje."}, id="empty list"),
    pytest.param({"lists": "ruotsiksi"}, {"lists": "Listaa ei ole: ruotsiksi"}, id="unknown list"),
    pytest.param(
        {"lists": ["suomeksi", "ruotsiksi"]}, {"lists": "Listaa ei ole: ruotsiksi"}, id="one list unknown"
    ),
    pytest.param({"email": None}, BAD_ADDRESS, id="no address"),
    pytest.param({"email": "meri.example.com"}, BAD_ADDRESS, id="malformed address"),
    pytest.param({"email": "a" * 288 + "@example.com"}, BAD_ADDRESS, id="address of 300"),
    pytest.param({"email": "meri@example.com\r\nBcc: kalle@example.com"}, BAD_ADDRESS, id="line break"),
    pytest.param({"email": "märi@example.com"}, BAD_ADDRESS, id="local part beyond ASCII"),
    pytest.param(
        {"email": "", "lists": None, "consent": None},
        {
            "email": "Anna sähköpostiosoite muodossa nimi@esimerkki.fi.",
            "lists": "Valitse vähintään yksi uutiskirje.",
            "consent": "Rastita kohta Haluan tilata uutiskirjeen.",
        },
        id="everything",
    ),
]


@pytest.mark.parametrize(("fields", "errors"), BAD_FORMS)
def test_a_bad_form_comes_back_and_nothing_is_stored_or_sent(sign_up, english, dump, fields, errors):
    """SU-2."""
    before = dump()

    page = Page(sign_up(**fields))

    assert (page.status, page.errors) == (422, errors)
    assert dump() == before


@pytest.mark.parametrize("field", ["email", "lists", "consent", "tracking", "lang"])
def test_a_nul_in_a_field_is_a_fault_of_the_form_not_of_ours(sign_up, dump, field):
    before = dump()

    page = Page(sign_up(**{"email": "meri", field: "\x00"}))

    assert (page.status, page.heading) == (422, "Tilaa uutiskirje")
    assert dump() == before


def test_the_form_comes_back_as_it_was_filled_in(sign_up, english):
    """SU-2."""
    page = Page(sign_up('"<meri>"', lists=["suomeksi", "in-english"], tracking="yes"))

    assert page.value("email") == '"<meri>"'
    assert page.checked == ["list-suomeksi", "list-in-english", "consent", "tracking"]


def test_a_summary_leads_to_each_fault(sign_up, english):
    """PP-2."""
    page = Page(sign_up("", lists=None, consent=None, lang="en"))

    assert page.summary == [
        ("#email", "Enter an e-mail address in the form name@example.com."),
        ("#list-suomeksi", "Choose at least one newsletter."),
        ("#consent", "Tick the box I want to subscribe to the newsletter."),
    ]


def test_a_bad_form_says_so_in_its_title(sign_up):
    page = Page(sign_up("", lang="fi"))

    assert page.texts("title") == ["Virhe: Tilaa uutiskirje – Kirjakauppa Oy"]


# --- the answer tells nothing about the address ----------------------------------------------------


def test_the_answer_is_the_same_whoever_the_address_is(client, sign_up, make_subscriber, finnish):
    """SU-6."""
    make_subscriber("pending@example.com", [finnish], SubscriptionStatus.PENDING)
    make_subscriber("confirmed@example.com", [finnish])
    make_subscriber("gone@example.com", [finnish], SubscriptionStatus.UNSUBSCRIBED)
    for reason in SuppressionReason:
        suppress(f"{reason.value}@example.com", reason, NOW)
    names = ["new", "pending", "confirmed", "gone", *(reason.value for reason in SuppressionReason)]

    answers = [sign_up(f"{name}@example.com") for name in names]

    assert {(answer.status_code, answer.location, answer.text) for answer in answers} == {
        (303, "/subscribe/sent?lang=fi", answers[0].text)
    }
    assert {tuple(answer.headers.keys()) for answer in answers} == {tuple(answers[0].headers.keys())}
    assert len({client.get(answer.location).text for answer in answers}) == 1


@pytest.mark.parametrize("reason", [SuppressionReason.BANNED, SuppressionReason.NOT_REQUESTED])
def test_who_wants_no_mail_at_all_gets_none_and_is_not_stored(sign_up, dump, reason):
    """RP-5: only staff can lift these."""
    suppress("meri@example.com", reason, NOW)
    before = dump()

    sign_up("MERI@example.com")

    assert dump() == before


@pytest.mark.parametrize("reason", [SuppressionReason.BOUNCED, SuppressionReason.COMPLAINED])
def test_an_ordinary_suppression_lets_the_person_ask_anew(sign_up, send_due, outgoing, reason):
    """RP-5."""
    suppress("meri@example.com", reason, NOW)

    sign_up("meri@example.com")
    send_due()

    assert outgoing.subjects == [("meri@example.com", "Vahvista uutiskirjeen tilaus")]


# --- someone we know -------------------------------------------------------------------------------


def test_another_spelling_is_the_same_person_with_the_first_spelling(sign_up, stored):
    """SU-9."""
    sign_up("Meri@example.com")
    sign_up("MERI@EXAMPLE.COM")

    assert [row.address for row in stored(Subscriber)] == ["Meri@example.com"]


def test_a_plus_tag_and_a_dot_make_other_people(sign_up, stored):
    """SU-9."""
    for address in ("meri@example.com", "meri+kirjat@example.com", "me.ri@example.com"):
        sign_up(address)

    assert [row.address for row in stored(Subscriber)] == [
        "meri@example.com",
        "meri+kirjat@example.com",
        "me.ri@example.com",
    ]


def test_a_domain_beyond_ascii_gets_its_mail_at_the_a_label(sign_up, send_due, outgoing):
    """SU-9."""
    sign_up("meri@pöytä.example")

    send_due()

    assert outgoing.last["Delivered-To"] == "meri@xn--pyt-sla1g.example"


def test_a_subscriber_who_signs_up_again_keeps_everything(sign_up, make_subscriber, finnish, dump):
    """SU-8."""
    make_subscriber("meri@example.com", [finnish], tracking=TrackingState.REFUSED)
    before = dump()

    sign_up("meri@example.com", lang="en", tracking="yes")

    after = dump()
    mails = after.pop("outbox")
    assert (after, len(mails)) == (before, 1)


def test_a_subscriber_who_signs_up_again_is_told_so(sign_up, make_subscriber, finnish, send_due, outgoing):
    make_subscriber("meri@example.com", [finnish])

    sign_up("meri@example.com", lang="en")
    send_due()

    assert outgoing.subjects == [("meri@example.com", "Olet jo uutiskirjeen tilaaja")]
    assert [len(links_of(outgoing.last, kind)) for kind in ("unsubscribe", "preferences")] == [1, 1]


def test_a_subscriber_is_told_at_most_once_in_24_hours(sign_up, make_subscriber, finnish, clock, stored):
    """SU-8."""
    make_subscriber("meri@example.com", [finnish])
    sign_up("meri@example.com")

    clock.shift(timedelta(hours=23, minutes=59))
    sign_up("meri@example.com")
    assert len(stored(OutboxMail)) == 1

    clock.shift(timedelta(minutes=2))
    sign_up("meri@example.com")
    assert len(stored(OutboxMail)) == 2


def test_only_the_new_list_becomes_pending(sign_up, make_subscriber, finnish, english, stored):
    """SU-8."""
    make_subscriber("meri@example.com", [finnish])

    sign_up("meri@example.com", lists=["suomeksi", "in-english"])

    assert [(row.list_id, row.status) for row in stored(Subscription)] == [
        (finnish.id, SubscriptionStatus.CONFIRMED),
        (english.id, SubscriptionStatus.PENDING),
    ]


def test_the_mail_names_only_the_new_list(sign_up, make_subscriber, finnish, english, send_due, outgoing):
    make_subscriber("meri@example.com", [finnish])

    sign_up("meri@example.com", lists=["suomeksi", "in-english"])
    send_due()

    assert lists_named_in(outgoing.last) == ["Newsletter in English"]


def test_who_has_left_may_come_back_and_stays_away_until_confirming(
    sign_up, make_subscriber, finnish, stored
):
    make_subscriber("meri@example.com", [finnish], SubscriptionStatus.UNSUBSCRIBED)

    sign_up("meri@example.com")

    assert [row.status for row in stored(Subscription)] == [SubscriptionStatus.UNSUBSCRIBED]
    assert [row.template for row in stored(OutboxMail)] == ["confirm"]


# --- limits ----------------------------------------------------------------------------------------


def test_an_address_is_asked_about_a_list_once_a_day(sign_up, change_settings, clock, stored):
    """SU-7."""
    change_settings(signup_limit_address="1/day;3/30day")
    sign_up()

    clock.shift(timedelta(hours=23, minutes=59))
    sign_up()
    assert len(stored(OutboxMail)) == 1

    clock.shift(timedelta(minutes=2))
    sign_up()
    assert len(stored(OutboxMail)) == 2


def test_an_address_is_asked_about_a_list_three_times_in_thirty_days(sign_up, change_settings, clock, stored):
    change_settings(signup_limit_address="1/day;3/30day")

    for _day in range(29):
        sign_up()
        clock.shift(timedelta(days=1))
    assert len(stored(OutboxMail)) == 3

    clock.shift(timedelta(days=2))
    sign_up()
    assert len(stored(OutboxMail)) == 4


def test_beyond_the_limit_nothing_is_stored_and_the_answer_is_the_same(sign_up, change_settings, dump):
    change_settings(signup_limit_address="1/day")
    first = sign_up()
    before = dump()

    second = sign_up("MERI@example.com")

    assert (second.status_code, second.location, second.text) == (303, first.location, first.text)
    assert dump() == before


def test_the_limit_of_one_list_leaves_the_other_open(sign_up, english, change_settings, stored):
    change_settings(signup_limit_address="1/day")
    sign_up(lists="suomeksi")

    sign_up(lists=["suomeksi", "in-english"])

    assert [[item.slug for item in row.lists] for row in stored(Signup)] == [["suomeksi"], ["in-english"]]


@pytest.fixture
def allow_per_ip(real_app, change_settings) -> Callable[[str], None]:
    """Limit how many may sign up from one IP: ``allow_per_ip("2/minute")``. None has so far."""
    return lambda limit: change_settings(signup_limit_ip=limit)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("fi", "Liian monta yritystä. Odota hetki ja yritä uudelleen."),
        ("en", "Too many attempts. Wait a moment and try again."),
    ],
)
def test_too_many_signups_from_one_ip_see_a_page_that_says_so(sign_up, allow_per_ip, dump, language, text):
    """SU-7."""
    allow_per_ip("2/minute")
    sign_up("yksi@example.com")
    sign_up("kaksi@example.com")
    before = dump()

    page = Page(sign_up("kolme@example.com", lang=language))

    assert (page.status, page.texts("[role=status] p")) == (429, [text])
    assert dump() == before


def test_after_the_window_the_same_ip_may_sign_up_again(sign_up, allow_per_ip, clock, stored):
    allow_per_ip("1/minute")
    sign_up("yksi@example.com")

    clock.shift(timedelta(minutes=1, seconds=1))

    assert sign_up("kaksi@example.com").status_code == 303


def test_another_ip_is_not_held_up(sign_up, allow_per_ip):
    allow_per_ip("1/minute")
    sign_up("yksi@example.com", ip="203.0.113.7")

    statuses = [sign_up("kaksi@example.com", ip=ip).status_code for ip in IPS]

    assert statuses == [429, 303]


def test_a_form_with_a_fault_counts_for_nothing(sign_up, allow_per_ip):
    allow_per_ip("1/minute")

    statuses = [sign_up("meri").status_code, sign_up("meri").status_code, sign_up().status_code]

    assert statuses == [422, 422, 303]


def test_the_log_holds_neither_address_nor_ip_nor_token(sign_up, send_due, caplog):
    caplog.set_level("DEBUG")

    sign_up("meri@example.com")
    send_due()

    assert "mail handed over" in caplog.messages
    for secret in ("meri", "127.0.0.1", "/confirm/"):
        assert secret not in caplog.text
