"""Taking a request back before it was confirmed."""

import pytest

from newsletter.mail.models import OutboxMail
from newsletter.subscribers import links
from newsletter.subscribers.models import Consent, Signup, Subscriber, Subscription, SubscriptionStatus
from tests.subscribers.pages import Page
from tests.support.mailbox import link


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_at_the_cancel_link_changes_nothing(client, request_link, dump, method):
    path = request_link("cancel")
    before = dump()

    response = client.open(path, method=method)

    assert (response.status_code, dump()) == (200, before)


def test_the_page_names_what_would_be_cancelled(client, request_link, english):
    page = Page(client.get(request_link("cancel", lists=["suomeksi", "in-english"])))

    assert page.texts(".names li") == ["Suomenkielinen uutiskirje", "Newsletter in English"]
    assert page.texts("main button") == ["Peru tilaus", "En pyytänyt tätä: peru ja estä"]


def test_cancelling_erases_the_request_and_the_person_at_once(client, request_link, stored):
    """CO-4."""
    path = request_link("cancel", tracking="yes")

    page = Page(client.post(path))

    assert (page.status, page.heading) == (200, "Tilaus on peruttu")
    assert (stored(Subscriber), stored(Subscription), stored(Signup)) == ([], [], [])
    assert {(row.subscriber_id, row.ip, row.user_agent, row.form_url) for row in stored(Consent)} == {
        (None, None, None, None)
    }


def test_cancelling_takes_back_a_mail_that_waits(client, request_link, stored, send_due, outgoing):
    client.post(request_link("cancel"))

    send_due()

    assert [(mail.address, mail.context) for mail in stored(OutboxMail)] == [(None, None)]
    assert outgoing.all == []


def test_the_cancel_link_in_the_mail_cancels(client, sign_up, send_due, outgoing, stored):
    sign_up()
    send_due()

    client.post(link(outgoing.last, "cancel"))

    assert stored(Subscriber) == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_after_cancelling_the_link_leads_to_a_calm_page(client, request_link, dump, method):
    path = request_link("cancel")
    client.post(path)
    before = dump()

    page = Page(client.open(path, method=method))

    assert (page.status, page.heading, dump()) == (200, "Et ole listalla", before)


def test_a_cancelled_request_cannot_be_confirmed(client, sign_up, stored):
    sign_up()
    context = stored(OutboxMail)[0].context
    client.post(context["cancel_url"])

    page = Page(client.post(context["confirm_url"]))

    assert (page.status, stored(Subscription)) == (410, [])


def test_cancelling_leaves_a_subscriber_what_was_confirmed(
    client, make_subscriber, finnish, english, request_link, stored
):
    make_subscriber("meri@example.com", [finnish])

    client.post(request_link("cancel", lists="in-english"))

    assert [(row.mailing_list.slug, row.status) for row in stored(Subscription)] == [
        ("suomeksi", SubscriptionStatus.CONFIRMED)
    ]


def test_cancelling_one_request_leaves_the_other(client, request_link, english, stored):
    first = request_link("cancel", lists=["suomeksi", "in-english"])
    second = request_link("confirm", lists="suomeksi")

    client.post(first)

    assert [row.mailing_list.slug for row in stored(Subscription)] == ["suomeksi"]
    assert Page(client.post(second)).heading == "Tilauksesi on vahvistettu."


@pytest.mark.parametrize(("method", "status"), [("GET", 302), ("POST", 303)])
def test_after_confirming_the_cancel_link_leads_to_unsubscribing(client, sign_up, stored, method, status):
    """CO-4: the link goes on working."""
    sign_up()
    context = stored(OutboxMail)[0].context
    client.post(context["confirm_url"])

    response = client.open(context["cancel_url"], method=method)

    assert response.status_code == status
    assert Page(client.get(response.location)).heading == "Haluatko poistua uutiskirjeeltä?"
    assert [row.status for row in stored(Subscription)] == [SubscriptionStatus.CONFIRMED]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "make_token",
    [
        pytest.param(lambda: "forged.signature", id="forged"),
        pytest.param(lambda: links.CANCEL.make(1, 1)[:-1], id="cut"),
        pytest.param(lambda: links.UNSUBSCRIBE.make(1, 1, 1), id="of another purpose"),
    ],
)
def test_a_cancel_link_that_is_not_ours_is_refused(client, sign_up, dump, make_token, method):
    sign_up()
    before = dump()

    page = Page(client.open(f"/cancel/{make_token()}?lang=fi", method=method))

    assert (page.status, page.heading, dump()) == (404, "Tämä ei onnistunut", before)


def test_a_link_for_a_person_of_another_request_cancels_nothing(client, sign_up, stored, dump):
    sign_up("meri@example.com")
    sign_up("kalle@example.com")
    meri, _kalle = stored(Subscriber)
    _meris, kalles = stored(Signup)
    before = dump()

    page = Page(client.post(f"/cancel/{links.CANCEL.make(kalles.id, meri.id)}?lang=fi"))

    assert (page.heading, dump()) == ("Et ole listalla", before)
