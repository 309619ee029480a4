"""``I did not ask for this``: the request goes, and the address is left in peace."""

import pytest

from newsletter.ledger.audit import AuditEntry
from newsletter.mail.models import OutboxMail
from newsletter.subscribers.models import (
    Consent,
    Signup,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    Suppression,
    SuppressionReason,
)
from newsletter.subscribers.suppressions import suppress
from tests.subscribers.pages import Page
from tests.support.clock import NOW
from tests.support.mailbox import text_of

BLOCK = {"block": "yes"}


def test_the_mail_says_that_requests_can_be_blocked(sign_up, send_due, outgoing):
    sign_up()
    send_due()

    assert (
        "Jos et pyytänyt tilausta, voit jättää viestin huomiotta tai perua tilauksen ja estää uudet pyynnöt"
        " osoitteeseesi."
    ) in " ".join(text_of(outgoing.last).split())


def test_the_page_offers_both_ways(client, request_link):
    page = Page(client.get(request_link("cancel")))

    assert page.texts("button") == ["Peru tilaus", "En pyytänyt tätä: peru ja estä"]
    assert page.texts("h2") == ["Antoiko joku muu osoitteesi?"]


def test_looking_at_the_page_changes_nothing(client, request_link, dump):
    link = request_link("cancel")
    before = dump()

    client.get(link)
    client.get(f"{link}&block=yes")
    client.head(link)

    assert dump() == before


def test_blocking_erases_the_request_and_keeps_only_a_hash(client, request_link, stored):
    link = request_link("cancel")

    page = Page(client.post(link, data=BLOCK))

    assert page.texts("[role=status] p") == [
        "Pyyntö on poistettu.",
        "Osoite on nyt estetty: siihen ei enää lähetetä vahvistusviestejä.",
        "Muutitko mieltäsi? Voimme poistaa eston, kun otat meihin yhteyttä.",
    ]
    assert [row.reason for row in stored(Suppression)] == [SuppressionReason.NOT_REQUESTED]
    assert [stored(table) for table in (Subscriber, Subscription, Signup)] == [[], [], []]
    assert [(row.subscriber_id, row.ip, row.user_agent) for row in stored(Consent)] == [(None, None, None)]
    assert [(row.address, row.context) for row in stored(OutboxMail)] == [(None, None)]
    assert [(row.action, row.actor) for row in stored(AuditEntry)] == [
        ("requests for an address blocked", "person")
    ]


def test_a_blocked_address_is_written_to_no_more(client, request_link, sign_up, stored):
    client.post(request_link("cancel"), data=BLOCK)
    before = len(stored(OutboxMail))

    answer = sign_up("MERI@example.com")

    assert (answer.status_code, answer.location) == (303, "/subscribe/sent?lang=fi")
    assert (len(stored(OutboxMail)), stored(Subscriber)) == (before, [])


def test_blocking_erases_every_open_request_for_the_address(client, request_link, sign_up, english, stored):
    link = request_link("cancel")
    sign_up(lists="in-english")

    client.post(link, data=BLOCK)

    assert (stored(Signup), stored(Subscriber)) == ([], [])


def test_cancelling_alone_blocks_nothing(client, request_link, sign_up, stored):
    page = Page(client.post(request_link("cancel")))

    sign_up()

    assert page.texts("[role=status] p") == ["Pyyntö on poistettu."]
    assert (stored(Suppression), len(stored(Signup))) == ([], 1)


@pytest.mark.parametrize("block", ["", "no", "1"])
def test_only_a_clear_yes_blocks(client, request_link, stored, block):
    client.post(request_link("cancel"), data={"block": block})

    assert stored(Suppression) == []


def test_pressing_twice_is_answered_honestly(client, request_link, stored):
    link = request_link("cancel")
    client.post(link, data=BLOCK)

    page = Page(client.post(link, data=BLOCK))

    assert (page.status, page.heading, len(stored(Suppression))) == (200, "Et ole listalla", 1)


def test_a_subscriber_can_cancel_but_not_lose_their_newsletters(
    client, make_subscriber, english, request_link, stored
):
    make_subscriber("meri@example.com", [english])
    link = request_link("cancel")

    offered = Page(client.get(link)).texts("button")
    client.post(link, data=BLOCK)

    assert offered == ["Peru tilaus"]
    assert stored(Suppression) == []
    assert [row.status for row in stored(Subscription)] == [SubscriptionStatus.CONFIRMED]


def test_blocking_is_stronger_than_a_bounce(client, request_link, sign_up, stored):
    suppress("meri@example.com", SuppressionReason.BOUNCED, NOW)

    client.post(request_link("cancel"), data=BLOCK)

    assert [row.reason for row in stored(Suppression)] == [SuppressionReason.NOT_REQUESTED]


def test_a_bounce_does_not_weaken_a_ban(app, stored):
    suppress("meri@example.com", SuppressionReason.BANNED, NOW)
    suppress("meri@example.com", SuppressionReason.BOUNCED, NOW)
    suppress("meri@example.com", SuppressionReason.NOT_REQUESTED, NOW)

    assert [row.reason for row in stored(Suppression)] == [SuppressionReason.BANNED]


def test_after_confirming_the_link_leads_to_unsubscribing(client, request_link, stored):
    confirm = request_link("confirm")
    link = str(stored(OutboxMail)[-1].context["cancel_url"]).partition("8000")[2]
    client.post(confirm)

    answer = client.post(link, data=BLOCK)

    assert answer.location.startswith("/unsubscribe/")
    assert stored(Suppression) == []
