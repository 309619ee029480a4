"""The own-details page: what it shows, and what saving does."""

import pytest

from newsletter.mail.models import OutboxMail
from newsletter.subscribers import links, personal_data
from newsletter.subscribers.models import (
    Consent,
    ConsentKind,
    Purpose,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    TrackingState,
)
from tests.subscribers.pages import Page

CONFIRMED, PENDING, UNSUBSCRIBED = (
    SubscriptionStatus.CONFIRMED,
    SubscriptionStatus.PENDING,
    SubscriptionStatus.UNSUBSCRIBED,
)


@pytest.fixture
def meri(make_subscriber, finnish) -> Subscriber:
    made: Subscriber = make_subscriber("meri@example.com", [finnish])
    return made


@pytest.fixture
def statuses(stored):
    """Tell how each list stands."""
    return lambda: {row.mailing_list.slug: row.status for row in stored(Subscription)}


def details_of(subscriber: Subscriber) -> str:
    return f"/preferences/{links.PREFERENCES.make(subscriber.id)}?lang=fi"


# --- what it shows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_changes_nothing(client, meri, dump, method):
    before = dump()

    response = client.open(details_of(meri), method=method)

    assert (response.status_code, dump()) == (200, before)


def test_the_address_is_shown_masked(client, meri):
    """MU-6."""
    html = client.get(details_of(meri)).text

    assert ("Osoite: m•••@example.com" in html, "meri@" in html) == (True, False)


def test_each_list_shows_how_it_stands(client, make_subscriber, make_list, finnish, english, sign_up):
    meri = make_subscriber("meri@example.com", [finnish])
    make_list("ruotsiksi", "Ruotsinkielinen uutiskirje")
    sign_up("meri@example.com", lists="in-english")

    page = Page(client.get(details_of(meri)))

    assert page.texts(".badge") == ["Tilattu", "Odottaa vahvistusta", "Ei tilattu"]
    assert page.checked == ["list-suomeksi", "list-in-english"]


@pytest.mark.parametrize(
    ("state", "mode", "ticked"),
    [
        (TrackingState.GRANTED, "consent", ["tracking"]),
        (TrackingState.UNKNOWN, "consent", []),
        (TrackingState.REFUSED, "consent", []),
        (TrackingState.UNKNOWN, "notice", []),
        (TrackingState.REFUSED, "notice", ["tracking"]),
        (TrackingState.UNKNOWN, "aggregate", []),
    ],
)
def test_the_tracking_box_is_ticked_where_its_words_are_what_the_person_said(
    client, make_subscriber, change_settings, state, mode, ticked
):
    change_settings(tracking=mode)
    meri = make_subscriber("meri@example.com", lists=[], tracking=state)

    assert Page(client.get(details_of(meri))).checked == ticked


# --- lists -----------------------------------------------------------------------------------------


def test_unticking_a_list_leaves_it(client, make_subscriber, finnish, english, statuses, stored):
    meri = make_subscriber("meri@example.com", [finnish, english])

    page = Page(client.post(details_of(meri), data={"lists": "suomeksi"}))

    assert page.texts("[role=status] p") == ["Muutokset on tallennettu."]
    assert statuses() == {"suomeksi": CONFIRMED, "in-english": UNSUBSCRIBED}
    assert [(row.kind, row.method) for row in stored(Consent) if row.purpose is Purpose.NEWSLETTER] == [
        (ConsentKind.WITHDRAWN, "page")
    ]


def test_ticking_a_list_asks_by_mail_and_not_at_once(client, meri, english, statuses, stored):
    page = Page(client.post(details_of(meri), data={"lists": ["suomeksi", "in-english"]}))

    assert page.texts("[role=status] p")[1] == (
        "Lähetimme sinulle vahvistusviestin. Tämä tilaus alkaa vasta, kun vahvistat sen: Newsletter in English"
    )
    assert statuses() == {"suomeksi": CONFIRMED, "in-english": PENDING}
    assert [mail.template for mail in stored(OutboxMail)] == ["confirm"]


def test_the_added_list_begins_when_its_link_comes_back(client, meri, english, stored, statuses):
    client.post(details_of(meri), data={"lists": ["suomeksi", "in-english"]})

    client.post(stored(OutboxMail)[0].context["confirm_url"])

    assert statuses() == {"suomeksi": CONFIRMED, "in-english": CONFIRMED}


def test_ticking_a_list_again_that_was_left_asks_by_mail(client, make_subscriber, finnish, statuses, stored):
    meri = make_subscriber("meri@example.com", [finnish], UNSUBSCRIBED)

    client.post(details_of(meri), data={"lists": "suomeksi"})

    assert (statuses(), [mail.template for mail in stored(OutboxMail)]) == (
        {"suomeksi": UNSUBSCRIBED},
        ["confirm"],
    )


def test_saving_without_a_change_asks_nobody_anything(client, meri, statuses, stored):
    client.post(details_of(meri), data={"lists": "suomeksi"})

    assert (statuses(), stored(OutboxMail)) == ({"suomeksi": CONFIRMED}, [])


def test_leaving_all_lists_takes_one_button(client, make_subscriber, finnish, english, statuses, stored):
    meri = make_subscriber("meri@example.com", [finnish, english], tracking=TrackingState.GRANTED)

    client.post(
        details_of(meri), data={"action": "leave", "lists": ["suomeksi", "in-english"], "tracking": "yes"}
    )

    assert statuses() == {"suomeksi": UNSUBSCRIBED, "in-english": UNSUBSCRIBED}
    assert [row.tracking for row in stored(Subscriber)] == [TrackingState.GRANTED]


def test_an_unknown_list_changes_nothing(client, meri, dump):
    before = dump()

    page = Page(client.post(details_of(meri), data={"lists": ["ruotsiksi"]}))

    assert (page.status, page.texts("[role=status] p"), dump()) == (404, ["Listaa ei ole: ruotsiksi"], before)


# --- tracking --------------------------------------------------------------------------------------


def test_taking_tracking_back_is_recorded(client, make_subscriber, finnish, stored):
    meri = make_subscriber("meri@example.com", [finnish], tracking=TrackingState.GRANTED)

    client.post(details_of(meri), data={"lists": "suomeksi"})

    assert [(row.kind, row.purpose) for row in stored(Consent)] == [(ConsentKind.WITHDRAWN, Purpose.TRACKING)]
    assert [row.tracking for row in stored(Subscriber)] == [TrackingState.REFUSED]


@pytest.mark.parametrize(
    ("state", "form"), [(TrackingState.GRANTED, {"tracking": "yes"}), (TrackingState.REFUSED, {})]
)
def test_saying_the_same_again_is_not_recorded(client, make_subscriber, finnish, dump, state, form):
    meri = make_subscriber("meri@example.com", [finnish], tracking=state)
    before = dump()

    client.post(details_of(meri), data={"lists": "suomeksi"} | form)

    assert dump() == before


def test_where_nothing_is_measured_the_choice_stays_as_it_was(
    client, make_subscriber, finnish, change_settings, stored
):
    change_settings(tracking="off")
    meri = make_subscriber("meri@example.com", [finnish], tracking=TrackingState.GRANTED)

    client.post(details_of(meri), data={"lists": "suomeksi"})

    assert Page(client.get(details_of(meri))).texts("[for=tracking]") == []
    assert [row.tracking for row in stored(Subscriber)] == [TrackingState.GRANTED]


# --- links that lead nowhere -----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_link_of_someone_erased_says_not_on_the_list(client, meri, method):
    path = details_of(meri)
    personal_data.erase([meri.id], keep_until=None)

    page = Page(client.open(path, method=method))

    assert (page.status, page.heading) == (200, "Et ole listalla")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "make_token",
    [
        pytest.param(lambda: "forged.signature", id="forged"),
        pytest.param(lambda: links.PREFERENCES.make(1)[1:], id="cut"),
        pytest.param(lambda: links.UNSUBSCRIBE.make(1, 0, 0), id="of another purpose"),
    ],
)
def test_a_link_that_is_not_ours_is_refused(client, meri, dump, make_token, method):
    before = dump()

    page = Page(client.open(f"/preferences/{make_token()}?lang=fi", method=method))

    assert (page.status, page.heading, dump()) == (404, "Tämä ei onnistunut", before)
