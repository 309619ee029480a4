"""Leaving: at once, without login or reason, and as often as anyone presses."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from newsletter.campaigns.models import CampaignTotals
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.subscribers import links, personal_data
from newsletter.subscribers.models import (
    Consent,
    ConsentKind,
    MailingList,
    Purpose,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    Wording,
)
from newsletter.subscribers.self_service.unsubscribe import has_no_subscriptions
from tests.subscribers.pages import Page
from tests.support.clock import NOW
from tests.support.mailbox import link

CONFIRMED, PENDING, UNSUBSCRIBED = (
    SubscriptionStatus.CONFIRMED,
    SubscriptionStatus.PENDING,
    SubscriptionStatus.UNSUBSCRIBED,
)
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def meri(make_subscriber, finnish, english) -> Subscriber:
    made: Subscriber = make_subscriber("meri@example.com", [finnish, english])
    return made


@pytest.fixture
def statuses(stored) -> Callable[[], dict[str, SubscriptionStatus]]:
    """Tell how each list stands."""
    return lambda: {row.mailing_list.slug: row.status for row in stored(Subscription)}


def way_out(subscriber: Subscriber, mailing_list: MailingList | None = None) -> str:
    """Return the path of a link out: of one list, or of all."""
    token = links.UNSUBSCRIBE.make(subscriber.id, mailing_list.id if mailing_list else 0, 0)
    return f"/unsubscribe/{token}?lang=fi"


# --- the page --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_at_the_link_changes_nothing(client, meri, finnish, dump, method):
    path = way_out(meri, finnish)
    before = dump()

    response = client.open(path, method=method)

    assert (response.status_code, dump()) == (200, before)


def test_the_page_asks_about_this_list_and_all_lists(client, meri, finnish):
    """MU-3."""
    page = Page(client.get(way_out(meri, finnish)))

    assert page.heading == "Haluatko poistua uutiskirjeeltä?"
    assert page.texts(".lead") == ["Lista: Suomenkielinen uutiskirje"]
    assert page.texts("main button") == ["Poistu tältä listalta", "Poistu kaikilta listoilta"]


def test_the_page_shows_the_address_masked(client, meri, finnish):
    html = client.get(way_out(meri, finnish)).text

    assert ("Osoite: m•••@example.com" in html, "meri" in html) == (True, False)


def test_a_link_of_all_lists_asks_about_all(client, meri):
    page = Page(client.get(way_out(meri)))

    assert page.texts("main button") == ["Poistu kaikilta listoilta"]


def test_the_page_leads_to_the_own_details(client, meri, finnish):
    page = Page(client.get(way_out(meri, finnish)))

    assert Page(client.get(page.link("Omat tilaustiedot"))).heading == "Omat tilaustiedot"


# --- the buttons -----------------------------------------------------------------------------------


def test_leaving_one_list_leaves_the_other(client, meri, finnish, statuses):
    page = Page(client.post(way_out(meri, finnish), data={"scope": "list"}))

    assert (page.heading, page.texts(".names li")) == (
        "Olet poistunut uutiskirjeeltä.",
        ["Suomenkielinen uutiskirje"],
    )
    assert statuses() == {"suomeksi": UNSUBSCRIBED, "in-english": CONFIRMED}


def test_leaving_all_lists_leaves_none(client, meri, finnish, statuses):
    page = Page(client.post(way_out(meri, finnish), data={"scope": "all"}))

    assert page.texts(".names li") == ["Suomenkielinen uutiskirje", "Newsletter in English"]
    assert statuses() == {"suomeksi": UNSUBSCRIBED, "in-english": UNSUBSCRIBED}


def test_leaving_is_recorded_with_its_time_and_way(client, meri, finnish, stored):
    """MU-7."""
    client.post(
        way_out(meri, finnish),
        data={"scope": "list"},
        headers={"User-Agent": "Firefox/140.0"},
        environ_base={"REMOTE_ADDR": "203.0.113.7"},
    )

    (row,) = stored(Consent)
    assert (row.kind, row.purpose, row.list_id) == (ConsentKind.WITHDRAWN, Purpose.NEWSLETTER, finnish.id)
    assert (row.at, row.method, row.ip, row.user_agent) == (NOW, "page", "203.0.113.7", "Firefox/140.0")
    assert row.form_url == "http://localhost/unsubscribe"


def test_the_page_says_when_the_data_goes(client, meri):
    page = Page(client.post(way_out(meri), data={"scope": "all"}))

    assert page.texts(".aside p")[0] == (
        "Poistamme tietosi viimeistään seuraavan tammikuun aikana. Jos haluat, että poistamme ne heti,"
        " lähetä poistopyyntö: poistamme tiedot viimeistään 30 päivän kuluessa."
    )


@pytest.mark.parametrize("form", [{"scope": "list"}, {"scope": "all"}, ONE_CLICK, {}])
def test_leaving_again_changes_nothing(client, meri, finnish, clock, dump, form):
    """MU-7."""
    path = way_out(meri, finnish)
    client.post(path, data=form)
    before = dump()

    clock.shift(timedelta(hours=1))
    response = client.post(path, data=form)

    assert (response.status_code, dump()) == (200, before)


def test_leaving_keeps_a_request_that_waits_for_its_link(client, make_subscriber, english, sign_up, statuses):
    meri = make_subscriber("meri@example.com", [english])
    sign_up("meri@example.com", lists="suomeksi")

    client.post(way_out(meri), data={"scope": "all"})

    assert statuses() == {"suomeksi": PENDING, "in-english": UNSUBSCRIBED}
    assert has_no_subscriptions(meri.id) is False


def test_who_has_left_all_lists_is_held_by_nothing(client, meri):
    client.post(way_out(meri), data={"scope": "all"})

    assert has_no_subscriptions(meri.id) is True


# --- one click (RFC 8058) --------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_one_click_leaves_the_list_without_cookie_or_redirect(
    app, client, meri, finnish, statuses, content_type
):
    """MU-4."""
    mail_client = app.test_client(use_cookies=False)

    response = mail_client.post(
        way_out(meri, finnish),
        data=ONE_CLICK,
        content_type=content_type,
        headers={"Origin": "https://mail.example"},
    )

    assert (response.status_code, response.location) == (200, None)
    assert statuses() == {"suomeksi": UNSUBSCRIBED, "in-english": CONFIRMED}


def test_one_click_is_recorded_as_such(client, meri, finnish, stored):
    client.post(way_out(meri, finnish), data=ONE_CLICK)

    assert [(row.kind, row.method) for row in stored(Consent)] == [(ConsentKind.WITHDRAWN, "one-click")]


def test_the_header_of_a_newsletter_holds_the_one_click_link(
    client, make_subscriber, finnish, make_campaign, send_due, outgoing, statuses
):
    make_subscriber("meri@example.com", [finnish])
    start_campaign(make_campaign([finnish]).id, now=NOW, actor="staff:1")
    send_due()

    header = str(outgoing.last["List-Unsubscribe"])
    response = client.post(header.strip("<>"), data=ONE_CLICK)

    assert (outgoing.last["List-Unsubscribe-Post"], header[0], header[-1]) == (
        "List-Unsubscribe=One-Click",
        "<",
        ">",
    )
    assert (response.status_code, statuses()) == (200, {"suomeksi": UNSUBSCRIBED})


# --- what a campaign hears of it -------------------------------------------------------------------


@pytest.fixture
def newsletter_link(make_subscriber, finnish, make_campaign, send_due, outgoing) -> str:
    """Send a newsletter to Meri and return its visible link out."""
    make_subscriber("meri@example.com", [finnish])
    start_campaign(make_campaign([finnish]).id, now=NOW, actor="staff:1")
    send_due()
    return link(outgoing.last, "unsubscribe")


def test_a_campaign_counts_who_left_by_its_link_once(client, newsletter_link, stored):
    for form in ({"scope": "list"}, {"scope": "all"}, ONE_CLICK):
        client.post(newsletter_link, data=form)

    assert [totals.unsubscribed for totals in stored(CampaignTotals)] == [1]


def test_a_campaign_counts_once_who_came_back_and_left_again(client, newsletter_link, stored, statuses):
    page = Page(client.post(newsletter_link, data={"scope": "list"}))
    client.post(page.form("undo"))
    client.post(newsletter_link, data={"scope": "list"})

    assert [totals.unsubscribed for totals in stored(CampaignTotals)] == [1]
    assert statuses() == {"suomeksi": UNSUBSCRIBED}


def test_a_campaign_does_not_count_who_left_otherwise(client, newsletter_link, stored):
    (meri,) = stored(Subscriber)

    client.post(way_out(meri), data={"scope": "all"})

    assert [totals.unsubscribed for totals in stored(CampaignTotals)] == [0]


# --- undo ------------------------------------------------------------------------------------------


def test_undoing_brings_the_subscription_back(client, meri, finnish, statuses):
    page = Page(client.post(way_out(meri, finnish), data={"scope": "list"}))
    assert page.texts("form.undo button") == ["Tilaa uudelleen"]

    page = Page(client.post(page.form("undo")))

    assert (page.heading, page.texts(".names li")) == ("Tilauksesi jatkuu.", ["Suomenkielinen uutiskirje"])
    assert statuses() == {"suomeksi": CONFIRMED, "in-english": CONFIRMED}


def test_undoing_brings_back_every_list_that_was_left(client, meri, statuses):
    page = Page(client.post(way_out(meri), data={"scope": "all"}))

    client.post(page.form("undo"))

    assert statuses() == {"suomeksi": CONFIRMED, "in-english": CONFIRMED}


def test_undoing_is_a_new_consent(client, meri, finnish, clock, stored):
    """MU-3."""
    page = Page(client.post(way_out(meri, finnish), data={"scope": "list"}))
    clock.shift(timedelta(minutes=1))

    client.post(page.form("undo"))

    _left, back = stored(Consent)
    assert (back.kind, back.method, back.at) == (ConsentKind.CONFIRMED, "undo", NOW + timedelta(minutes=1))
    assert back.wording_id == stored(Wording)[0].id


def test_undoing_twice_is_recorded_once(client, meri, finnish, dump):
    undo = Page(client.post(way_out(meri, finnish), data={"scope": "list"})).form("undo")
    client.post(undo)
    before = dump()

    page = Page(client.post(undo))

    assert (page.heading, dump()) == ("Tilauksesi jatkuu.", before)


@pytest.mark.parametrize("status", [None, PENDING])
def test_undoing_adds_no_list_that_was_never_confirmed(
    client, make_subscriber, finnish, english, sign_up, statuses, status
):
    meri = make_subscriber("meri@example.com", [english])
    if status is PENDING:
        sign_up("meri@example.com", lists="suomeksi")
    before = statuses()
    page = Page(client.post(way_out(meri), data={"scope": "all"}))

    client.post(page.form("undo"), data={"lists": "suomeksi"})

    assert statuses() == before


# --- old, foreign and forged links -----------------------------------------------------------------


@pytest.mark.parametrize(("method", "form"), [("GET", {}), ("POST", {"scope": "all"}), ("POST", ONE_CLICK)])
def test_the_link_of_someone_purged_says_not_on_the_list(client, meri, finnish, method, form):
    """MU-2."""
    path = way_out(meri, finnish)
    personal_data.erase([meri.id], keep_until=None)

    page = Page(client.open(path, method=method, data=form))

    assert (page.status, page.heading) == (200, "Et ole listalla")


def test_the_page_of_someone_who_left_says_not_on_the_list(client, meri):
    client.post(way_out(meri), data={"scope": "all"})

    page = Page(client.get(way_out(meri)))

    assert (page.status, page.heading) == (200, "Et ole listalla")


@pytest.mark.parametrize(("method", "form"), [("GET", {}), ("POST", {"scope": "all"}), ("POST", ONE_CLICK)])
@pytest.mark.parametrize(
    "make_token",
    [
        pytest.param(lambda: "forged.signature", id="forged"),
        pytest.param(lambda: links.UNSUBSCRIBE.make(1, 0, 0)[:-1], id="cut"),
        pytest.param(lambda: links.PREFERENCES.make(1), id="of another purpose"),
    ],
)
def test_a_link_that_is_not_ours_is_refused(client, meri, dump, make_token, method, form):
    """MU-2: a forged one gets 404."""
    before = dump()

    page = Page(client.open(f"/unsubscribe/{make_token()}?lang=fi", method=method, data=form))

    assert (page.status, page.texts("[role=status] p")) == (
        404,
        ["Linkki ei toimi. Tarkista, että kopioit sen kokonaan."],
    )
    assert dump() == before


def test_a_link_signed_with_a_key_of_before_still_works(client, make_app, meri, finnish, statuses):
    path = way_out(meri, finnish)
    app = make_app(secret_key="a new key", secret_key_fallbacks="the secret key of the tests")

    with app.app_context():
        subscriber_id, list_id, _campaign_id = links.UNSUBSCRIBE.read(path.split("/")[2].split("?")[0])

    assert (subscriber_id, list_id) == (meri.id, finnish.id)
