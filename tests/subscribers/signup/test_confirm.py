"""The link comes back: what a look at it changes (nothing), and what the button does."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

import pytest

from newsletter.mail.models import OutboxMail
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.subscribers import links
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
)
from newsletter.subscribers.signup.confirm import delete_expired_signups
from newsletter.subscribers.suppressions import find_suppression, suppress
from tests.subscribers.pages import Page
from tests.support.apps import on_its_own
from tests.support.clock import NOW
from tests.support.mailbox import link, links_of, text_of

EXPIRED = "Linkki ei ole enää voimassa. Voit tehdä tilauksen uudelleen."
BROKEN = "Linkki ei toimi. Tarkista, että kopioit sen kokonaan."


def token_of(path: str) -> str:
    return urlsplit(path).path.split("/")[2]


# --- looking changes nothing -----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_at_the_link_changes_nothing(client, request_link, dump, method):
    """CO-2."""
    path = request_link()
    before = dump()

    response = client.open(path, method=method)

    assert (response.status_code, dump()) == (200, before)


def test_the_page_asks_for_one_press(client, request_link):
    """CO-2."""
    page = Page(client.get(request_link()))

    assert page.texts("main button") == ["Vahvista tilaus"]
    assert page.texts(".lead") == ["Vielä yksi vaihe: vahvista tilaus painamalla painiketta."]
    assert page.texts(".aside p")[0] == "Linkki on voimassa 10.3.2026 klo 11.30 asti."


def test_the_page_holds_no_script(client, request_link):
    """CO-2: nothing can press by itself."""
    html = client.get(request_link()).text

    assert ("<script" in html, "onload" in html, 'http-equiv="refresh"' in html) == (False, False, False)


def test_the_page_leads_to_cancelling(client, request_link):
    page = Page(client.get(request_link()))

    assert Page(client.get(page.link("Peru tilaus"))).heading == "Peru tilaus"


# --- the button ------------------------------------------------------------------------------------


def test_the_button_begins_the_subscription(client, request_link, stored):
    path = request_link()

    page = Page(client.post(path))

    assert (page.status, page.heading) == (200, "Tilauksesi on vahvistettu.")
    assert [(row.status, row.confirmed_at) for row in stored(Subscription)] == [
        (SubscriptionStatus.CONFIRMED, NOW)
    ]


def test_the_link_in_the_mail_is_the_one_that_confirms(client, sign_up, send_due, outgoing, stored):
    sign_up()
    send_due()

    client.post(link(outgoing.last, "confirm"))

    assert [row.status for row in stored(Subscription)] == [SubscriptionStatus.CONFIRMED]


def test_one_press_confirms_every_list_of_the_request(client, request_link, english, stored):
    path = request_link(lists=["suomeksi", "in-english"])

    page = Page(client.post(path))

    assert page.texts(".names li") == ["Suomenkielinen uutiskirje", "Newsletter in English"]
    assert [row.status for row in stored(Subscription)] == [
        SubscriptionStatus.CONFIRMED,
        SubscriptionStatus.CONFIRMED,
    ]


def test_confirming_is_proved_by_the_words_that_were_ticked(client, request_link, stored):
    path = request_link(tracking="yes", lang="en")

    client.post(path, environ_base={"REMOTE_ADDR": "203.0.113.7"}, headers={"User-Agent": "Firefox/140.0"})

    asked, asked_tracking, confirmed, confirmed_tracking = stored(Consent)
    assert (confirmed.kind, confirmed.purpose, confirmed.list_id, confirmed.wording_id) == (
        ConsentKind.CONFIRMED,
        Purpose.NEWSLETTER,
        asked.list_id,
        asked.wording_id,
    )
    assert confirmed_tracking.wording_id == asked_tracking.wording_id
    assert (confirmed.at, confirmed.ip, confirmed.user_agent) == (NOW, "203.0.113.7", "Firefox/140.0")


def test_the_evidence_never_holds_the_token(client, request_link, stored):
    path = request_link()

    client.post(path, headers={"Referer": f"http://localhost{path}"})
    client.post(request_link("confirm", email="kalle@example.com"))

    assert {row.form_url for row in stored(Consent) if row.kind is ConsentKind.CONFIRMED} == {
        "http://localhost/confirm"
    }


def test_the_request_keeps_only_a_hash_of_the_links_secret(request_link, stored):
    """CO-5."""
    secret, _issued = links.CONFIRM.read(token_of(request_link()))

    (signup,) = stored(Signup)
    assert (len(secret), signup.token_hash) == (16, hashlib.sha256(secret).hexdigest())


def test_pressing_twice_says_so_and_keeps_the_first_consent(client, request_link, clock, dump):
    """CO-5."""
    path = request_link()
    client.post(path, environ_base={"REMOTE_ADDR": "203.0.113.7"})
    before = dump()

    clock.shift(timedelta(days=1))
    page = Page(client.post(path, environ_base={"REMOTE_ADDR": "198.51.100.2"}))

    assert (page.status, page.heading) == (200, "Tilaus on jo vahvistettu.")
    assert dump() == before


def test_looking_again_says_that_it_is_confirmed(client, request_link):
    path = request_link()
    client.post(path)

    page = Page(client.get(path))

    assert (page.heading, page.texts("main button")) == ("Tilaus on jo vahvistettu.", [])


def test_a_used_link_still_works_after_its_time(client, request_link, clock):
    path = request_link()
    client.post(path)

    clock.shift(timedelta(days=30))

    assert Page(client.post(path)).heading == "Tilaus on jo vahvistettu."


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_has_left_since_stays_away(client, request_link, stored, dump, method):
    path = request_link()
    client.post(path)
    client.post(f"/unsubscribe/{links.UNSUBSCRIBE.make(stored(Subscriber)[0].id, 0, 0)}")
    before = dump()

    page = Page(client.open(path, method=method))

    assert (page.status, page.texts("[role=status] p")) == (410, [EXPIRED])
    assert dump() == before


def test_who_had_left_is_back_after_confirming_anew(client, make_subscriber, finnish, request_link, stored):
    make_subscriber("meri@example.com", [finnish], SubscriptionStatus.UNSUBSCRIBED)

    client.post(request_link())

    assert [(row.status, row.unsubscribed_at) for row in stored(Subscription)] == [
        (SubscriptionStatus.CONFIRMED, None)
    ]


@pytest.mark.parametrize("reason", [SuppressionReason.BOUNCED, SuppressionReason.COMPLAINED])
def test_rp5_confirming_ends_an_ordinary_suppression(client, request_link, reason):
    suppress("meri@example.com", reason, NOW)
    path = request_link()
    assert find_suppression("meri@example.com") is not None

    client.post(path)

    assert find_suppression("meri@example.com") is None


def test_rp5_a_suppression_by_staff_outlives_a_link_already_sent(client, request_link):
    path = request_link()
    suppress("meri@example.com", SuppressionReason.BANNED, NOW)

    client.post(path)

    assert find_suppression("meri@example.com") is not None


# --- leaving lists out -----------------------------------------------------------------------------


def test_a_list_left_out_on_the_page_is_not_asked_for_any_more(client, request_link, english, stored):
    path = request_link(lists=["suomeksi", "in-english"])
    assert Page(client.get(path)).checked == ["list-suomeksi", "list-in-english"]

    page = Page(client.post(path, data={"choosing": "yes", "lists": "suomeksi"}))

    assert page.texts(".names li") == ["Suomenkielinen uutiskirje"]
    assert [(row.mailing_list.slug, row.status) for row in stored(Subscription)] == [
        ("suomeksi", SubscriptionStatus.CONFIRMED)
    ]


def test_leaving_out_every_list_is_a_fault_at_the_boxes(client, request_link, english, dump):
    path = request_link(lists=["suomeksi", "in-english"])
    before = dump()

    page = Page(client.post(path, data={"choosing": "yes"}))

    assert (page.status, page.errors) == (422, {"lists": "Valitse vähintään yksi uutiskirje."})
    assert (page.checked, dump()) == ([], before)


def test_a_list_not_asked_for_cannot_be_added_on_the_page(client, request_link, english, stored):
    path = request_link(lists="suomeksi")

    client.post(path, data={"choosing": "yes", "lists": ["suomeksi", "in-english"]})

    assert [row.mailing_list.slug for row in stored(Subscription)] == ["suomeksi"]


def test_leaving_out_every_list_after_confirming_changes_nothing(client, request_link, dump):
    path = request_link()
    client.post(path)
    before = dump()

    page = Page(client.post(path, data={"choosing": "yes"}))

    assert (page.heading, dump()) == ("Tilaus on jo vahvistettu.", before)


# --- tracking --------------------------------------------------------------------------------------


def test_tracking_is_granted_only_by_confirming(client, request_link, stored):
    path = request_link(tracking="yes")
    assert [row.tracking for row in stored(Subscriber)] == [TrackingState.UNKNOWN]

    client.post(path)

    assert [(row.tracking, row.tracking_chosen_at) for row in stored(Subscriber)] == [
        (TrackingState.GRANTED, NOW)
    ]


def test_without_the_box_nothing_is_said_about_tracking(client, request_link, stored):
    """SU-3."""
    client.post(request_link())

    assert [(row.tracking, row.tracking_chosen_at) for row in stored(Subscriber)] == [
        (TrackingState.UNKNOWN, None)
    ]
    assert Purpose.TRACKING not in {row.purpose for row in stored(Consent)}


def test_a_second_signup_without_the_box_takes_no_consent_back(
    client, make_subscriber, finnish, english, request_link, stored
):
    make_subscriber("meri@example.com", [finnish], tracking=TrackingState.GRANTED)

    client.post(request_link(lists="in-english"))

    assert [row.tracking for row in stored(Subscriber)] == [TrackingState.GRANTED]


# --- the activation mail ---------------------------------------------------------------------------


def test_the_activation_mail_says_what_was_ordered_and_how_to_leave(
    client, request_link, english, send_due, outgoing
):
    client.post(request_link(lists=["suomeksi", "in-english"]))

    send_due()

    activation = outgoing.last
    assert activation["Subject"] == "Tilauksesi on vahvistettu"
    assert text_of(activation).splitlines()[1:3] == ["- Suomenkielinen uutiskirje", "- Newsletter in English"]
    assert [len(links_of(activation, kind)) for kind in ("unsubscribe", "preferences")] == [1, 1]


@pytest.mark.parametrize(
    ("slug", "page_language", "subject"),
    [("suomeksi", "en", "Tilauksesi on vahvistettu"), ("in-english", "fi", "Your subscription is confirmed")],
)
def test_the_activation_mail_speaks_its_lists_language(
    client, request_link, english, send_due, outgoing, slug, page_language, subject
):
    client.post(request_link(lists=slug, lang=page_language))

    send_due()

    assert outgoing.last["Subject"] == subject


def test_its_unsubscribe_link_is_for_the_one_list_it_is_about(
    client, make_subscriber, finnish, english, request_link, send_due, outgoing
):
    make_subscriber("meri@example.com", [finnish])
    client.post(request_link(lists="in-english"))
    send_due()

    page = Page(client.get(link(outgoing.last, "unsubscribe")))

    assert page.texts(".lead") == ["List: Newsletter in English"]


def test_no_newsletter_goes_to_an_unconfirmed_address(
    sign_up, finnish, make_subscriber, make_campaign, send_due, outgoing
):
    """CO-1."""
    sign_up("meri@example.com")
    make_subscriber("kalle@example.com", [finnish])
    start_campaign(make_campaign([finnish]).id, now=NOW, actor="staff:1")

    send_due()

    assert outgoing.subjects == [
        ("meri@example.com", "Vahvista uutiskirjeen tilaus"),
        ("kalle@example.com", "Maaliskuun uutiset"),
    ]


# --- links that do not work ------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda token: token[:-1], id="cut at the end"),
        pytest.param(lambda token: token[1:], id="cut at the beginning"),
        pytest.param(lambda token: token.partition(".")[0], id="without its signature"),
        pytest.param(lambda token: token.swapcase(), id="other letters"),
        pytest.param(lambda token: token + "ä", id="beyond ASCII"),
        pytest.param(lambda token: links.PREFERENCES.make(1), id="of another purpose"),
        pytest.param(lambda token: links.CANCEL.make(1, 1), id="of the cancel link"),
    ],
)
def test_a_link_that_is_not_ours_is_refused(client, request_link, dump, damage, method):
    token = token_of(request_link())
    before = dump()

    page = Page(client.open(f"/confirm/{damage(token)}?lang=fi", method=method))

    assert (page.status, page.texts("[role=status] p")) == (404, [BROKEN])
    assert dump() == before


def test_a_link_signed_with_another_key_is_refused(client, request_link, make_app):
    secret, issued = links.CONFIRM.read(token_of(request_link()))
    with make_app(secret_key="another key").app_context():
        forged = links.CONFIRM.make(secret, issued)

    page = Page(client.post(f"/confirm/{forged}?lang=fi"))

    assert page.texts("[role=status] p") == [BROKEN]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_after_seven_days_the_page_offers_a_new_signup(client, request_link, clock, stored, method):
    """CO-5."""
    path = request_link()

    clock.shift(timedelta(days=7))
    page = Page(client.open(path, method=method))

    assert (page.status, page.texts("[role=status] p")) == (410, [EXPIRED])
    assert page.link("Tilaussivulle") == "/subscribe?lang=fi"
    assert [row.status for row in stored(Subscription)] == [SubscriptionStatus.PENDING]


def test_a_second_before_seven_days_the_link_works(client, request_link, clock):
    path = request_link()

    clock.shift(timedelta(days=7) - timedelta(seconds=1))

    assert Page(client.post(path)).heading == "Tilauksesi on vahvistettu."


# --- requests that expire --------------------------------------------------------------------------


@pytest.fixture
def expire(app) -> Callable[..., int]:
    """Let the job run some time after the beginning: ``expire(days=7)``."""

    def run(*, batch: int = 500, **after: float) -> int:
        return on_its_own(app, partial(delete_expired_signups, NOW + timedelta(**after), batch=batch))

    return run


def test_rp6_an_expired_request_goes_with_the_person_of_whom_nothing_else_is_known(sign_up, expire, stored):
    """CO-5."""
    sign_up()

    assert expire(days=7) == 1
    assert (stored(Subscriber), stored(Subscription), stored(Signup)) == ([], [], [])
    assert [(mail.address, mail.context) for mail in stored(OutboxMail)] == [(None, None)]
    assert [(row.subscriber_id, row.ip, row.user_agent, row.form_url) for row in stored(Consent)] == [
        (None, None, None, None)
    ]


def test_a_request_is_kept_until_its_last_second(sign_up, expire, dump):
    sign_up()
    before = dump()

    assert (expire(days=6, hours=23, minutes=59, seconds=59), dump()) == (0, before)


def test_a_subscriber_whose_request_expires_keeps_the_other_list(
    make_subscriber, finnish, english, sign_up, expire, stored
):
    make_subscriber("meri@example.com", [finnish])
    sign_up(lists="in-english")

    expire(days=7)

    assert [(row.mailing_list.slug, row.status) for row in stored(Subscription)] == [
        ("suomeksi", SubscriptionStatus.CONFIRMED)
    ]


def test_a_newer_request_for_the_list_keeps_it_pending(sign_up, clock, expire, stored):
    sign_up()
    clock.shift(timedelta(days=5))
    sign_up()

    expire(days=7)

    assert [row.status for row in stored(Subscription)] == [SubscriptionStatus.PENDING]
    assert [signup.created_at for signup in stored(Signup)] == [NOW + timedelta(days=5)]


def test_a_confirmed_request_never_expires(client, request_link, expire, stored):
    client.post(request_link())

    assert (expire(days=400), len(stored(Signup))) == (0, 1)


def test_expiring_goes_on_beyond_a_batch(sign_up, expire, stored):
    for number in range(5):
        sign_up(f"tilaaja{number}@example.com")

    assert (expire(days=7, batch=2), stored(Subscriber)) == (5, [])


def test_the_link_of_an_expired_request_says_that_its_time_is_over(client, request_link, expire, clock):
    path = request_link()
    clock.shift(timedelta(days=8))
    expire(days=8)

    page = Page(client.post(path))

    assert (page.status, page.texts("[role=status] p")) == (410, [EXPIRED])


def test_an_old_link_never_opens_the_details_of_the_next_person(client, request_link, expire):
    old = request_link("preferences")
    expire(days=8)
    request_link(email="kalle@example.com")

    page = Page(client.get(old))

    assert (page.status, page.heading) == (200, "Et ole listalla")
