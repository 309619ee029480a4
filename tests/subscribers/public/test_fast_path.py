"""A plain signup is answered in front of Flask, and nobody can tell by the answer or by what is stored."""

import io
import re
from http import HTTPStatus

import pytest

from newsletter.ratelimit import limiter
from newsletter.subscribers.models import Consent, Signup
from newsletter.subscribers.public import fast_path
from tests.subscribers.pages import Page

ELSEWHERE = {
    "Referer": "https://www.kirjakauppa.example/tilaa?kampanja=7#lomake",
    "User-Agent": "Lynx",
    "Cookie": "session=none",
}
SECRET = re.compile(r"signup=[\w-]+")


@pytest.fixture
def views(app, monkeypatch):
    """How often a signup came as far as its view."""
    seen = []
    view = app.view_functions["subscribers.sign_up"]
    monkeypatch.setitem(app.view_functions, "subscribers.sign_up", lambda: seen.append(1) or view())
    return seen


@pytest.fixture
def without_lane(monkeypatch):
    return lambda: monkeypatch.setattr(fast_path, "_is_plain_form_post", lambda _environ: False)


def header_lines(response):
    return sorted((name, SECRET.sub("signup=…", value)) for name, value in response.headers)


# --- the same answer ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="Finnish"),
        pytest.param({"lang": "en", "tracking": "yes"}, id="English, may be measured"),
        pytest.param({"lang": None, "headers": {"Accept-Language": "en-GB, fi;q=0.5"}}, id="by the browser"),
        pytest.param({"lang": "sv"}, id="unknown language"),
        pytest.param({"email": " Meri@EXÄMPLE.example ", "headers": ELSEWHERE}, id="form elsewhere"),
    ],
)
def test_the_answer_is_the_views_own(sign_up, views, without_lane, fields):
    by_lane = sign_up(**fields)
    assert not views
    without_lane()
    by_view = sign_up(**fields)

    assert len(views) == 1
    assert (by_lane.status, by_lane.data) == (by_view.status, by_view.data)
    assert header_lines(by_lane) == header_lines(by_view)


@pytest.mark.parametrize("root", ["", "/uutiset"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_it_knows_the_scheme_and_the_folder_it_is_mounted_in(client, finnish, without_lane, scheme, root):
    def post():
        return client.post(
            "/subscribe",
            data={"email": "meri@example.com", "lists": "suomeksi", "consent": "yes"},
            base_url=f"{scheme}://uutiset.example",
            environ_overrides={"SCRIPT_NAME": root},
        )

    by_lane = post()
    without_lane()
    by_view = post()

    assert header_lines(by_lane) == header_lines(by_view)
    assert by_lane.location == f"{root}/subscribe/sent?lang=fi"
    assert ("Secure" in by_lane.headers["Set-Cookie"]) == (scheme == "https")


def test_what_is_stored_is_the_same(sign_up, without_lane, stored):
    form = {"tracking": "yes", "lang": "en", "headers": ELSEWHERE, "ip": "203.0.113.7"}
    sign_up("yksi@example.com", **form)
    without_lane()
    sign_up("kaksi@example.com", **form)

    def facts(person):
        return [
            (fact.kind, fact.purpose, fact.ip, fact.user_agent, fact.form_url, fact.method, fact.wording_id)
            for fact in stored(Consent)
            if fact.subscriber_id == person.subscriber_id
        ]

    by_lane, by_view = stored(Signup)
    assert facts(by_lane) == facts(by_view) != []
    assert (by_lane.language, by_lane.expires_at) == (by_view.language, by_view.expires_at)
    assert by_lane.browser_hash not in {None, by_view.browser_hash}


# --- what goes on to the view ------------------------------------------------------------------------


def test_a_form_with_a_fault_is_shown_again_as_it_was_filled_in(sign_up, views, stored):
    response = sign_up("meri@", tracking="yes")

    page = Page(response)
    assert (response.status_code, len(views), stored(Signup)) == (HTTPStatus.UNPROCESSABLE_ENTITY, 1, [])
    assert page.value("email") == "meri@"
    assert set(page.errors) == {"email"}


def test_who_sends_too_many_is_counted_once_and_told_so_on_a_page(sign_up, change_settings, views):
    change_settings(signup_limit_ip="2/minute;3/hour")

    answers = [sign_up(f"meri{number}@example.com") for number in range(4)]

    assert [answer.status_code for answer in answers] == [303, 303, 429, 429]
    assert len(views) == 2
    assert "Liian monta yritystä" in answers[-1].text
    assert int(answers[-1].headers["Retry-After"]) <= 60
    # What the minute refuses does not count for the hour: counted twice, the third would be used up.
    by_minute, by_hour = limiter.parse_rule("2/minute;3/hour")
    who = ("signup", limiter.client_key_of("127.0.0.1"))
    assert [limiter.current_count(item, *who) for item in (by_minute, by_hour)] == [4, 2]


def test_while_the_breaker_is_open_the_form_asks_for_its_work(sign_up, change_settings, views):
    change_settings(signup_breaker="1/hour")
    sign_up("yksi@example.com")

    response = sign_up("kaksi@example.com")

    assert (response.status_code, len(views)) == (HTTPStatus.TOO_MANY_REQUESTS, 1)
    assert Page(response).value("email") == "kaksi@example.com"


def test_a_signup_that_cannot_be_written_down_gets_an_honest_page(sign_up, monkeypatch, views):
    monkeypatch.setattr("newsletter.subscribers.signup.queue.os.fdatasync", _no_disk)

    response = sign_up()

    assert (response.status_code, len(views)) == (HTTPStatus.SERVICE_UNAVAILABLE, 1)


def _no_disk(_file):
    raise OSError("disk is gone")


@pytest.mark.parametrize(
    "different",
    [
        pytest.param({"query_string": "embedded=1&lists=suomeksi"}, id="in a frame"),
        pytest.param({"path": "/subscribe/"}, id="another address"),
        pytest.param({"content_type": "multipart/form-data; boundary=x"}, id="multipart"),
        pytest.param({"content_type": "application/json"}, id="JSON"),
        pytest.param({"environ_overrides": {"CONTENT_LENGTH": "9" * 30}}, id="endless"),
        pytest.param({"environ_overrides": {"CONTENT_LENGTH": "-1"}}, id="negative length"),
        pytest.param({"environ_overrides": {"CONTENT_LENGTH": "²"}}, id="a digit that is none"),
        pytest.param({"environ_overrides": {"CONTENT_LENGTH": ""}}, id="no length"),
        pytest.param(
            {"environ_overrides": {"CONTENT_LENGTH": str(fast_path.MAX_BODY_BYTES + 1)}}, id="too long"
        ),
        pytest.param({"method": "PUT"}, id="another method"),
    ],
)
def test_what_is_not_plain_is_none_of_its_business(client, finnish, monkeypatch, different):
    monkeypatch.setattr(fast_path.SignupFastPath, "_answer", lambda *_: pytest.fail("it was read"))
    form = b"email=meri%40example.com&lists=suomeksi&consent=yes"
    plain = {
        "path": "/subscribe",
        "method": "POST",
        "input_stream": io.BytesIO(form),
        "content_type": "application/x-www-form-urlencoded",
    }

    response = client.open(**plain | different)

    assert response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR


def test_a_form_that_broke_off_signs_nobody_up(client, finnish, stored):
    """Cut short, one address may well be another's."""
    body = b"lists=suomeksi&consent=yes&email=meri%40example.co"

    response = client.post(
        "/subscribe",
        input_stream=io.BytesIO(body),
        content_type="application/x-www-form-urlencoded",
        environ_overrides={"CONTENT_LENGTH": str(len(body) + 1)},
    )

    assert (response.status_code, stored(Signup)) == (HTTPStatus.BAD_REQUEST, [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"&&&===",
        b"email=%ff%fe&lists=%00&consent=yes",
        b"email=a@b.example&" * 900,
        b"lang=" + b"x" * 9000,
    ],
    ids=["empty", "signs", "no UTF-8", "again and again", "a long language"],
)
def test_hostile_bodies_are_refused_by_the_view(client, finnish, views, stored, body):
    response = client.post("/subscribe", data=body, content_type="application/x-www-form-urlencoded")

    assert (response.status_code, len(views)) == (HTTPStatus.UNPROCESSABLE_ENTITY, 1)
    assert stored(Signup) == []
