"""The browser that signed up needs no second press; nobody else is taken for it."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from newsletter.mail.models import OutboxMail
from newsletter.subscribers.models import Consent, Signup, Subscription, SubscriptionStatus, SuppressionReason
from newsletter.subscribers.suppressions import suppress
from tests.subscribers.pages import Page
from tests.support.clock import NOW

FORM = {"email": "meri@example.com", "lists": "suomeksi", "consent": "yes", "lang": "fi"}


@pytest.fixture
def sign_up_here(client, finnish, stored) -> Callable[..., str]:
    """Sign up in the browser of ``client`` and return the link of the mail."""

    def post(**fields: str) -> str:
        client.post("/subscribe", data=FORM | fields)
        return str(stored(OutboxMail)[-1].context["confirm_url"]).removeprefix("http://127.0.0.1:8000")

    return post


def test_opening_the_link_in_the_browser_that_signed_up_confirms(client, sign_up_here, stored):
    path = sign_up_here()

    page = Page(client.get(path))

    assert (page.status, page.heading) == (200, "Tilauksesi on vahvistettu.")
    assert [row.status for row in stored(Subscription)] == [SubscriptionStatus.CONFIRMED]
    assert [row.method for row in stored(Consent)] == ["form", "browser"]


def test_opening_it_again_says_so_and_changes_nothing(client, sign_up_here, dump):
    path = sign_up_here()
    client.get(path)
    before = dump()

    page = Page(client.get(path))

    assert (page.heading, dump()) == ("Tilaus on jo vahvistettu.", before)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", {}),
        ("GET", {"Sec-Purpose": "prefetch"}),
        ("GET", {"Sec-Purpose": "prefetch;prerender"}),
        ("GET", {"Purpose": "prefetch"}),
    ],
)
def test_what_no_person_has_seen_confirms_nothing(client, sign_up_here, dump, method, headers):
    path = sign_up_here()
    before = dump()

    response = client.open(path, method=method, headers=headers)

    assert (response.status_code, dump()) == (200, before)


@pytest.mark.parametrize("cookie", ["", "signup=", "signup=guessed", "signup=ä", "other=1"])
def test_another_browser_is_asked_for_a_press(app, sign_up_here, dump, cookie):
    path = sign_up_here()
    before = dump()

    page = Page(app.test_client(use_cookies=False).get(path, headers={"Cookie": cookie}))

    assert (page.heading, dump()) == ("Vahvista tilaus", before)


def test_the_browser_confirms_only_the_address_it_signed_up_last(client, sign_up_here, dump):
    earlier = sign_up_here(email="kalle@example.com")
    sign_up_here(email="meri@example.com")
    before = dump()

    page = Page(client.get(earlier))

    assert (page.heading, dump()) == ("Vahvista tilaus", before)


def test_after_seven_days_the_browser_is_no_help(client, sign_up_here, clock, dump):
    path = sign_up_here()
    before = dump()

    clock.shift(timedelta(days=7))

    assert (client.get(path).status_code, dump()) == (410, before)


def test_the_cookie_goes_to_confirmation_pages_only_and_is_kept_from_scripts(client, finnish):
    cookie = client.post("/subscribe", data=FORM).headers["Set-Cookie"]

    assert cookie.split("; ")[1:] == [
        "Expires=Tue, 10 Mar 2026 09:30:00 GMT",
        "Max-Age=604800",
        "HttpOnly",
        "Path=/confirm",
        "SameSite=Lax",
    ]


def test_over_https_the_cookie_is_secure(client, finnish):
    response = client.post("/subscribe", data=FORM, base_url="https://localhost")

    assert "; Secure;" in response.headers["Set-Cookie"]


def test_the_database_keeps_only_a_hash_of_the_cookie(client, finnish, stored):
    response = client.post("/subscribe", data=FORM)

    secret = response.headers["Set-Cookie"].partition("=")[2].partition(";")[0]
    (signup,) = stored(Signup)
    assert (len(secret), len(signup.browser_hash), secret in signup.browser_hash) == (24, 64, False)


def test_everybody_gets_a_cookie_alike(client, finnish, make_subscriber):
    make_subscriber("confirmed@example.com", [finnish])
    suppress("banned@example.com", SuppressionReason.BANNED, NOW)

    cookies = [
        client.post("/subscribe", data=FORM | {"email": f"{name}@example.com"}).headers["Set-Cookie"]
        for name in ("new", "confirmed", "banned")
    ]

    assert {(len(cookie), cookie.partition("; ")[2]) for cookie in cookies} == {
        (len(cookies[0]), cookies[0].partition("; ")[2])
    }


def test_a_form_with_a_fault_gets_no_cookie(client, finnish):
    response = client.post("/subscribe", data=FORM | {"email": "meri"})

    assert (response.status_code, response.headers.getlist("Set-Cookie")) == (422, [])
