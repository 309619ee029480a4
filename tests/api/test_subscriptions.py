"""``POST /api/v1/subscriptions``: the form, as JSON."""

import json
import string

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, assume, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from newsletter.db import db
from newsletter.mail.models import OutboxMail
from newsletter.subscribers.models import Consent, Signup, Subscriber, SuppressionReason, TrackingState
from newsletter.subscribers.suppressions import suppress
from tests.support.clock import NOW

PATH = "/api/v1/subscriptions"
SITE = "https://www.kirjakauppa.example"
GOOD = {"email": "meri@example.com", "lists": ["suomeksi"], "consent": True}


@pytest.fixture
def finnish(make_list):
    return make_list("suomeksi", "Suomenkielinen uutiskirje")


@pytest.fixture
def ask(client, finnish):
    """Send the request, filled in unless the story says otherwise; None leaves a field out."""

    def post(headers=None, **fields):
        sent = {name: value for name, value in (GOOD | fields).items() if value is not None}
        return client.post(PATH, json=sent, headers=headers)

    return post


@pytest.fixture
def shop(make_app, app, finnish):
    """A browser on an instance that lets the shop's site read its answers."""
    return make_app(embed_origins=SITE).test_client()


def stored(table):
    rows = list(db.session.scalars(sa.select(table).order_by(table.id)))
    db.session.commit()
    return rows


# --- a good request ----------------------------------------------------------------------------------


def test_a_request_is_accepted_and_asks_for_confirmation_by_mail(ask, send_due, outgoing):
    answer = ask()
    send_due()

    assert (answer.status_code, answer.content_type) == (202, "application/json")
    assert outgoing.subjects == [("meri@example.com", "Vahvista uutiskirjeen tilaus")]


@pytest.mark.parametrize(
    ("language", "start"), [("fi", "Kiitos! Jos osoitteella"), ("en", "Thank you! If this address")]
)
def test_the_answer_is_in_the_language_asked_for(ask, language, start):
    assert ask(language=language).json["message"].startswith(start)


def test_the_evidence_says_where_the_form_stands(ask):
    ask(headers={"Referer": f"{SITE}/tilaa?kampanja=7#lomake", "User-Agent": "Firefox/140.0"})

    (row,) = stored(Consent)
    assert (row.method, row.form_url, row.user_agent) == ("api", f"{SITE}/tilaa", "Firefox/140.0")


def test_where_the_browser_keeps_the_page_to_itself_its_site_is_the_evidence(ask):
    ask(headers={"Origin": SITE})

    assert [row.form_url for row in stored(Consent)] == [SITE]


def test_tracking_is_asked_for_only_when_it_is_true(ask):
    ask("", email="yksi@example.com", tracking=True)
    ask("", email="kaksi@example.com", tracking=False)

    assert [row.tracking for row in stored(Subscriber)] == [TrackingState.UNKNOWN] * 2
    assert [row.purpose.value for row in stored(Consent)] == ["newsletter", "tracking", "newsletter"]


def test_the_answer_is_the_same_whoever_the_address_is(ask, make_subscriber, finnish):
    make_subscriber("tilaaja@example.com", [finnish])
    suppress("kielto@example.com", SuppressionReason.BANNED, NOW)

    answers = [ask(email=f"{name}@example.com") for name in ("uusi", "tilaaja", "kielto", "uusi")]

    assert {(answer.status_code, answer.text, str(answer.headers)) for answer in answers} == {
        (202, answers[0].text, str(answers[0].headers))
    }


def test_no_cookie_is_given(ask):
    assert "Set-Cookie" not in ask().headers


def test_another_language_than_ours_is_refused_not_guessed(ask):
    answer = ask(language="sv")

    assert answer.json["errors"] == {"language": "Valitse jokin näistä kielistä: fi, en"}


# --- a bad request -----------------------------------------------------------------------------------

WRONG_KIND = "Kentän arvo on väärää tyyppiä."
BAD = [
    pytest.param({"email": None}, {"email"}, id="no address"),
    pytest.param({"email": "meri"}, {"email"}, id="malformed address"),
    pytest.param({"email": 7}, {"email"}, id="a number for an address"),
    pytest.param({"email": ["meri@example.com"]}, {"email"}, id="a list of addresses"),
    pytest.param({"lists": None}, {"lists"}, id="no lists"),
    pytest.param({"lists": []}, {"lists"}, id="empty lists"),
    pytest.param({"lists": "suomeksi"}, {"lists"}, id="a word for lists"),
    pytest.param({"lists": ["ruotsiksi"]}, {"lists"}, id="unknown list"),
    pytest.param({"lists": ["suomeksi", 1]}, {"lists"}, id="a number among lists"),
    pytest.param({"lists": ["suomeksi", None]}, {"lists"}, id="nothing among lists"),
    pytest.param({"lists": ["suomeksi"] * 101}, {"lists"}, id="more lists than anyone has"),
    pytest.param({"consent": None}, {"consent"}, id="no consent"),
    pytest.param({"consent": False}, {"consent"}, id="consent refused"),
    pytest.param({"consent": "yes"}, {"consent"}, id="a word for consent"),
    pytest.param({"consent": 1}, {"consent"}, id="a number for consent"),
    pytest.param({"tracking": "yes"}, {"tracking"}, id="a word for tracking"),
    pytest.param({"language": 1}, {"language"}, id="a number for a language"),
    pytest.param({"name": "Meri"}, {"name"}, id="a field that nobody asked for"),
    pytest.param({"Email": "meri@example.com"}, {"Email"}, id="a field in other letters"),
    pytest.param(
        {"email": "", "lists": [], "consent": False}, {"email", "lists", "consent"}, id="everything"
    ),
]


@pytest.mark.parametrize(("fields", "wrong"), BAD)
def test_a_bad_request_says_which_fields_are_wrong_and_stores_nothing(ask, fields, wrong):
    answer = ask(**fields)

    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    assert set(answer.json["errors"]) == wrong
    assert (answer.json["status"], answer.json["title"]) == (422, "Unprocessable Entity")
    assert (stored(Subscriber), stored(OutboxMail)) == ([], [])


def test_errors_are_sentences_for_the_visitor(ask):
    answer = ask(email="meri", consent=False, tracking=3, language="fi")

    assert answer.json["errors"] == {
        "email": "Anna sähköpostiosoite muodossa nimi@esimerkki.fi.",
        "consent": "Rastita kohta Haluan tilata uutiskirjeen.",
        "tracking": WRONG_KIND,
    }


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        pytest.param(b"", "application/json", 400, id="nothing"),
        pytest.param(b"{", "application/json", 400, id="half an object"),
        pytest.param(b"[]", "application/json", 400, id="a list"),
        pytest.param(b"null", "application/json", 400, id="null"),
        pytest.param(b"[" * 9000, "application/json", 400, id="deep"),
        pytest.param(b'{"email": "\xff"}', "application/json", 400, id="not UTF-8"),
        pytest.param(b'{"consent": false, "consent": true}', "application/json", 400, id="a field twice"),
        pytest.param(b"{}", "text/plain", 415, id="text"),
        pytest.param(b"email=meri%40example.com", "application/x-www-form-urlencoded", 415, id="a form"),
        pytest.param(b" " * 20_001, "application/json", 413, id="too long"),
    ],
)
def test_what_is_no_json_of_ours_is_refused(client, finnish, body, content_type, status):
    answer = client.post(PATH, data=body, content_type=content_type)

    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert answer.json["status"] == status
    assert stored(Subscriber) == []


def test_a_body_without_a_length_is_cut_where_one_with_it_would_be_refused(client, finnish):
    body = json.dumps(GOOD).encode() + b" " * 30_000

    answer = client.post(
        PATH, data=body, content_type="application/json", headers={"Transfer-Encoding": "chunked"}
    )

    assert answer.status_code in {400, 413}


def test_only_post_is_for_use(client, finnish):
    answer = client.get(PATH)

    assert (answer.status_code, sorted(answer.headers["Allow"].split(", "))) == (405, ["OPTIONS", "POST"])


# --- other sites -------------------------------------------------------------------------------------


def test_a_site_on_the_list_may_read_the_answer(shop):
    answer = shop.post(PATH, json=GOOD, headers={"Origin": SITE})

    assert answer.headers["Access-Control-Allow-Origin"] == SITE
    assert "Origin" in answer.vary
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://other.example",
        "http://www.kirjakauppa.example",
        "https://www.kirjakauppa.example.evil.example",
        "https://www.kirjakauppa.example:8443",
        "null",
    ],
)
def test_another_site_may_not(shop, origin):
    for answer in (
        shop.post(PATH, json=GOOD, headers={"Origin": origin}),
        shop.options(PATH, headers={"Origin": origin, "Access-Control-Request-Method": "POST"}),
    ):
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Access-Control-Allow-Methods" not in answer.headers
        assert "Origin" in answer.vary


def test_a_browser_asks_beforehand_and_is_told(shop):
    answer = shop.options(
        PATH,
        headers={
            "Origin": SITE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
    )

    allowed = {name: value for name, value in answer.headers.items() if name.startswith("Access-Control")}
    assert (answer.status_code, answer.data) == (204, b"")
    assert allowed == {
        "Access-Control-Allow-Origin": SITE,
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "Content-Type",
        "Access-Control-Max-Age": "7200",
    }


@pytest.mark.parametrize("fields", [{"email": "meri"}, {"lists": 1}])
def test_the_site_may_read_what_is_wrong_too(shop, fields):
    answer = shop.post(PATH, json=GOOD | fields, headers={"Origin": SITE})

    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (422, SITE)


def test_the_site_may_read_that_it_is_too_much(make_app, app, finnish):
    client = make_app(embed_origins=SITE, signup_limit_ip="1/minute").test_client()
    headers = {"Origin": SITE, "Accept-Language": "en"}
    answers = [client.post(PATH, json=GOOD, headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 429]
    assert answers[1].headers["Access-Control-Allow-Origin"] == SITE
    assert answers[1].headers["Retry-After"] == "60"
    assert answers[1].json["detail"] == "Too many attempts. Wait a moment and try again."


# --- anything at all ---------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=300)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=8,
)
# Mostly right, so that one wrong field is met among good ones.
requests = st.fixed_dictionaries(
    {},
    optional={
        "email": st.just("meri@example.com") | st.emails() | anything,
        "lists": st.just(["suomeksi"]) | st.lists(st.text(max_size=20), max_size=3) | anything,
        "consent": st.just(value=True) | anything,
        "tracking": st.booleans() | anything,
        "language": st.sampled_from(["fi", "en"]) | anything,
        "extra": anything,
    },
)
often = hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def is_right(sent):
    return (
        set(sent) <= {"email", "lists", "consent", "tracking", "language"}
        and isinstance(sent.get("email"), str)
        and sent.get("lists") in (["suomeksi"], ["suomeksi", "suomeksi"])
        and sent.get("consent") is True
        and isinstance(sent.get("tracking", False), bool)
        and sent.get("language", "fi") in {"fi", "en"}
    )


@often
@given(sent=anything | requests)
@example(sent={"email": "\ud800@example.com", "lists": ["\x00", "\ud800"], "consent": True})
@example(sent=GOOD | {"email": "me\x00ri@example.com"})
@example(sent=GOOD | {"language": "\x00"})
def test_whatever_is_sent_is_accepted_or_refused_and_never_a_fault_of_ours(ask, client, sent):
    before = len(stored(Signup))

    answer = client.post(PATH, data=json.dumps(sent), content_type="application/json")

    assert answer.status_code in {202, 400, 422}
    assert isinstance(sent, dict) == (answer.status_code != 400)
    if answer.status_code == 202:
        assert is_right(sent)
    else:
        assert len(stored(Signup)) == before


local_parts = st.text(string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~-.", min_size=1, max_size=64)


@often
@given(local=local_parts, host=st.sampled_from(["example.com", "pöytä.example", "b" * 63 + ".example"]))
@example(local="a" * 64, host="example.com")
@example(local="meri+kirjat", host="example.com")
def test_form_and_api_agree_on_every_address(ask, client, local, host):
    assume("@" not in local)
    form = {"email": f"{local}@{host}", "lists": "suomeksi", "consent": "yes"}

    by_form, by_api = client.post("/subscribe", data=form), ask(email=form["email"])

    assert (by_form.status_code, by_api.status_code) in {(303, 202), (422, 422)}


def test_the_log_holds_neither_address_nor_ip(ask, caplog):
    caplog.set_level("DEBUG")

    ask()
    ask(email="virheellinen meri")

    for secret in ("meri", "127.0.0.1"):
        assert secret not in caplog.text
