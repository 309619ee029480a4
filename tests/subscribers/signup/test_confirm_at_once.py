"""Two people press at the same moment: a real database, two threads, one outcome."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from newsletter.mail.models import OutboxMail
from newsletter.subscribers import links
from newsletter.subscribers.models import (
    Consent,
    ConsentKind,
    Signup,
    Subscriber,
    Subscription,
    SubscriptionStatus,
)
from newsletter.subscribers.signup import queue
from tests.subscribers.pages import Page
from tests.support.apps import at_once, on_its_own

SPELLINGS = ("meri@example.com", "MERI@example.com", "Meri@Example.Com", "meri@EXAMPLE.com")


@pytest.fixture
def post_at_once(real_app) -> Callable[..., list[TestResponse]]:
    """Send forms in at the same moment, each from a browser of its own; each is (path, form)."""

    def post(*requests: tuple[str, dict[str, str]]) -> list[TestResponse]:
        def sender(path: str, form: dict[str, str]) -> Callable[[], TestResponse]:
            browser = FlaskClient(real_app, real_app.response_class, use_cookies=False)
            return lambda: browser.post(path, data=form)

        answers = at_once(real_app, *(sender(path, form) for path, form in requests))
        on_its_own(real_app, queue.load_queued)
        return answers

    return post


def test_signups_at_once_make_one_person_and_one_request(post_at_once, finnish, change_settings, stored):
    change_settings(signup_limit_address="1/day")
    form = {"lists": "suomeksi", "consent": "yes"}

    answers = post_at_once(*[("/subscribe", form | {"email": spelling}) for spelling in SPELLINGS])

    assert {answer.status_code for answer in answers} == {303}
    assert [len(stored(table)) for table in (Subscriber, Subscription, Signup, OutboxMail)] == [1, 1, 1, 1]


def test_two_signups_at_once_for_two_lists_lose_neither(post_at_once, finnish, english, stored):
    form = {"email": "meri@example.com", "consent": "yes"}

    post_at_once(("/subscribe", form | {"lists": "suomeksi"}), ("/subscribe", form | {"lists": "in-english"}))

    assert len(stored(Subscriber)) == 1
    assert {(row.mailing_list.slug, row.status) for row in stored(Subscription)} == {
        ("suomeksi", SubscriptionStatus.PENDING),
        ("in-english", SubscriptionStatus.PENDING),
    }


def test_two_presses_at_once_confirm_once(post_at_once, request_link, stored):
    path = request_link()

    answers = post_at_once((path, {}), (path, {}))

    assert {Page(answer).heading for answer in answers} == {
        "Tilauksesi on vahvistettu.",
        "Tilaus on jo vahvistettu.",
    }
    assert [row.kind for row in stored(Consent)] == [ConsentKind.ASKED, ConsentKind.CONFIRMED]
    assert [mail.template for mail in stored(OutboxMail)] == ["confirm", "activated"]


def test_confirming_and_cancelling_at_once_does_one_of_the_two(post_at_once, sign_up, stored):
    sign_up()
    context = stored(OutboxMail)[0].context

    confirm, cancel = post_at_once((context["confirm_url"], {}), (context["cancel_url"], {}))

    found = [row.status for row in stored(Subscription)]
    assert (confirm.status_code, cancel.status_code, found) in [
        (200, 303, [SubscriptionStatus.CONFIRMED]),
        (410, 200, []),
    ]
    assert len(stored(Subscriber)) == len(found)


def test_leaving_twice_at_once_is_recorded_once(post_at_once, sign_up, make_subscriber, finnish, stored):
    make_subscriber("meri@example.com", [finnish])
    sign_up("meri@example.com")
    path = stored(OutboxMail)[0].context["unsubscribe_url"]

    answers = post_at_once((path, {"scope": "all"}), (path, {"scope": "all"}))

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [row.kind for row in stored(Consent)] == [ConsentKind.WITHDRAWN]


def test_leaving_one_list_while_confirming_another_does_both(
    post_at_once, sign_up, make_subscriber, finnish, english, stored
):
    make_subscriber("meri@example.com", [finnish])
    sign_up("meri@example.com", lists="in-english")
    context = stored(OutboxMail)[0].context
    way_out = links.UNSUBSCRIBE.make(1, finnish.id, 0)

    answers = post_at_once((context["confirm_url"], {}), (f"/unsubscribe/{way_out}", {}))

    assert [answer.status_code for answer in answers] == [200, 200]
    assert {(row.mailing_list.slug, row.status) for row in stored(Subscription)} == {
        ("suomeksi", SubscriptionStatus.UNSUBSCRIBED),
        ("in-english", SubscriptionStatus.CONFIRMED),
    }


def test_leaving_all_lists_while_confirming_one_ends_in_one_of_the_two_orders(
    post_at_once, sign_up, make_subscriber, finnish, english, stored
):
    make_subscriber("meri@example.com", [finnish])
    sign_up("meri@example.com", lists="in-english")
    context = stored(OutboxMail)[0].context
    way_out = links.UNSUBSCRIBE.make(1, 0, 0)

    post_at_once((context["confirm_url"], {}), (f"/unsubscribe/{way_out}", {"scope": "all"}))

    left, confirmed = SubscriptionStatus.UNSUBSCRIBED, SubscriptionStatus.CONFIRMED
    assert [row.status for row in stored(Subscription)] in [[left, left], [left, confirmed]]
