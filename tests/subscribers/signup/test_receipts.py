"""The receipt of leaving and its way back: a forwarded newsletter lets a stranger leave, and no more."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from newsletter.mail.models import OutboxMail
from newsletter.sending.lifecycle.start import AudienceEmpty, start_campaign
from newsletter.subscribers import links, personal_data
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.models import (
    Consent,
    ConsentKind,
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    SuppressionReason,
)
from newsletter.subscribers.self_service.unsubscribe import unsubscribe_from
from newsletter.subscribers.suppressions import suppress
from tests.subscribers.conftest import LOCAL
from tests.subscribers.pages import Page
from tests.support.apps import at_once
from tests.support.clock import NOW
from tests.support.mailbox import link, text_of

CONFIRMED, UNSUBSCRIBED = SubscriptionStatus.CONFIRMED, SubscriptionStatus.UNSUBSCRIBED
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
BROKEN = "Linkki ei toimi. Tarkista, että kopioit sen kokonaan."


@pytest.fixture
def meri(make_subscriber, finnish, english) -> Subscriber:
    made: Subscriber = make_subscriber("meri@example.com", [finnish, english])
    return made


@pytest.fixture
def receipts(stored) -> Callable[[], list[list[str]]]:
    """Return the lists that each receipt names."""
    return lambda: [mail.context["lists"] for mail in stored(OutboxMail) if mail.template == "left"]


@pytest.fixture
def undo_link(client, meri, finnish, stored) -> str:
    """Leave a list and return the path of the link in the receipt."""
    client.post(way_out(meri, finnish), data={"scope": "list"})
    return str(stored(OutboxMail)[-1].context["undo_url"]).removeprefix(LOCAL)


@pytest.fixture
def statuses(stored) -> Callable[[], list[SubscriptionStatus]]:
    return lambda: [row.status for row in stored(Subscription)]


def way_out(subscriber: Subscriber, mailing_list: MailingList | None = None, campaign_id: int = 0) -> str:
    token = links.UNSUBSCRIBE.make(subscriber.id, mailing_list.id if mailing_list else 0, campaign_id)
    return f"/unsubscribe/{token}?lang=fi"


# --- the receipt -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [{"scope": "list"}, ONE_CLICK])
def test_whoever_leaves_gets_a_receipt(client, meri, finnish, send_due, outgoing, form):
    client.post(way_out(meri, finnish), data=form)
    send_due()

    text = text_of(outgoing.last)
    assert outgoing.subjects == [("meri@example.com", "Olet poistunut uutiskirjeeltä")]
    assert ("- Suomenkielinen uutiskirje" in text, "Poistuttu: 3.3.2026 klo 11.30" in text) == (True, True)


def test_leaving_on_the_own_details_page_gets_a_receipt(client, meri, receipts):
    token = links.PREFERENCES.make(meri.id)

    client.post(f"/preferences/{token}?lang=fi", data={"action": "leave"})

    assert receipts() == [["Suomenkielinen uutiskirje", "Newsletter in English"]]


@pytest.mark.parametrize("method", ["staff", "complaint"])
def test_who_was_taken_off_otherwise_gets_none(meri, receipts, now, method):
    unsubscribe_from(meri, None, now=now, method=method, visit=Visit("203.0.113.7"))

    assert receipts() == []


@pytest.mark.parametrize("reason", SuppressionReason)
def test_who_must_not_be_written_to_gets_none(client, meri, receipts, now, reason):
    suppress("meri@example.com", reason, now)

    client.post(way_out(meri), data={"scope": "all"})

    assert receipts() == []


def test_whose_processing_is_restricted_gets_none(client, make_subscriber, finnish, receipts):
    person = make_subscriber("kalle@example.com", [finnish], restricted_at=NOW)

    client.post(way_out(person), data={"scope": "all"})

    assert receipts() == []


def test_leaving_again_gets_no_second_receipt(client, meri, finnish, receipts):
    for _ in range(3):
        client.post(way_out(meri, finnish), data=ONE_CLICK)

    assert len(receipts()) == 1


def test_a_list_left_and_joined_again_and_again_gets_one_receipt_a_day(
    client, meri, finnish, receipts, clock
):
    for _ in range(3):
        page = Page(client.post(way_out(meri, finnish), data={"scope": "list"}))
        client.post(page.form("undo"))
        clock.shift(timedelta(minutes=1))

    assert len(receipts()) == 1
    clock.shift(timedelta(days=1))
    client.post(way_out(meri, finnish), data={"scope": "list"})
    assert len(receipts()) == 2


def test_another_list_has_a_receipt_of_its_own(client, meri, finnish, english, receipts):
    client.post(way_out(meri, finnish), data={"scope": "list"})
    client.post(way_out(meri, english), data={"scope": "list"})

    assert receipts() == [["Suomenkielinen uutiskirje"], ["Newsletter in English"]]


def test_presses_at_once_leave_once_with_one_receipt(real_app, client, meri, finnish, receipts, stored):
    path = way_out(meri, finnish)

    answers = at_once(real_app, *[lambda: real_app.test_client().post(path, data=ONE_CLICK).status_code] * 4)

    assert (answers, len(receipts())) == ([200] * 4, 1)
    assert [(row.kind, row.method) for row in stored(Consent)] == [(ConsentKind.WITHDRAWN, "one-click")]


# --- the way back ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_opening_the_way_back_changes_nothing(client, undo_link, dump, method):
    before = dump()

    assert (client.open(undo_link, method=method).status_code, dump()) == (200, before)


def test_the_way_back_asks_for_one_press(client, undo_link):
    page = Page(client.get(undo_link))

    assert (page.texts(".names li"), page.texts("main button")) == (
        ["Suomenkielinen uutiskirje"],
        ["Tilaa uudelleen"],
    )


def test_the_way_back_is_a_new_consent(client, undo_link, statuses, stored):
    page = Page(client.post(undo_link))

    assert (page.heading, statuses()) == ("Tilauksesi jatkuu.", [CONFIRMED, CONFIRMED])
    assert [(row.kind, row.method) for row in stored(Consent)] == [
        (ConsentKind.WITHDRAWN, "page"),
        (ConsentKind.CONFIRMED, "undo"),
    ]


def test_the_way_back_is_open_for_a_day(client, undo_link, clock, statuses, dump):
    before = dump()
    clock.shift(timedelta(hours=24))

    page = Page(client.post(undo_link))

    assert (page.status, page.texts("[role=status] p")) == (
        410,
        ["Linkki ei ole enää voimassa. Voit tehdä tilauksen uudelleen."],
    )
    assert dump() == before


def test_the_way_back_of_one_leaving_does_not_undo_a_later_one(
    client, undo_link, meri, finnish, clock, statuses
):
    client.post(undo_link)
    clock.shift(timedelta(minutes=1))
    client.post(way_out(meri, finnish), data={"scope": "list"})

    Page(client.get(undo_link))
    client.post(undo_link)

    assert statuses() == [UNSUBSCRIBED, CONFIRMED]


def test_the_way_back_brings_no_list_left_before(client, meri, finnish, english, clock, statuses, stored):
    client.post(way_out(meri, finnish), data={"scope": "list"})
    clock.shift(timedelta(minutes=1))
    client.post(way_out(meri, english), data={"scope": "list"})

    client.post(str(stored(OutboxMail)[-1].context["undo_url"]))

    assert statuses() == [UNSUBSCRIBED, CONFIRMED]


def test_the_way_back_is_closed_to_a_suppressed_address(client, undo_link, now, statuses):
    suppress("meri@example.com", SuppressionReason.COMPLAINED, now)

    assert client.post(undo_link).status_code == 410
    assert statuses() == [UNSUBSCRIBED, CONFIRMED]


def test_a_newsletter_alone_brings_nobody_back(client, meri, finnish, statuses):
    client.post(way_out(meri, finnish), data={"scope": "list"})

    client.post(way_out(meri, finnish), data={"undo": "yes", "lists": "suomeksi"})

    assert statuses() == [UNSUBSCRIBED, CONFIRMED]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_way_back_of_someone_purged_says_not_on_the_list(client, undo_link, meri, method):
    personal_data.erase([meri.id], keep_until=None)

    page = Page(client.open(undo_link, method=method))

    assert (page.status, page.heading) == (200, "Et ole listalla")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_way_back_that_is_not_ours_is_refused(client, meri, dump, method):
    before = dump()

    page = Page(client.open("/unsubscribe/undo/forged.signature?lang=fi", method=method))

    assert (page.status, page.texts("[role=status] p"), dump()) == (404, [BROKEN], before)


# --- a newsletter that went to several lists -------------------------------------------------------


@pytest.fixture
def to_both(make_campaign, finnish, english) -> int:
    return int(make_campaign([finnish, english]).id)


@pytest.mark.parametrize("form", [ONE_CLICK, {"scope": "list"}])
def test_leaving_a_newsletter_of_several_lists_leaves_each_of_them(
    client, meri, finnish, to_both, statuses, form
):
    client.post(way_out(meri, finnish, to_both), data=form)

    assert statuses() == [UNSUBSCRIBED, UNSUBSCRIBED]


def test_other_lists_stay(client, make_subscriber, make_list, finnish, english, to_both, statuses):
    third = make_list("tarjoukset", "Tarjoukset")
    person = make_subscriber("kalle@example.com", [finnish, english, third])

    client.post(way_out(person, finnish, to_both), data=ONE_CLICK)

    assert statuses() == [UNSUBSCRIBED, UNSUBSCRIBED, CONFIRMED]


def test_the_page_names_every_list_it_would_leave(client, meri, finnish, to_both):
    page = Page(client.get(way_out(meri, finnish, to_both)))

    (lead,) = page.texts(".lead")
    assert lead == (
        "Tämä uutiskirje lähetettiin usealle listalle, joilla olet:"
        " Suomenkielinen uutiskirje, Newsletter in English"
    )
    assert page.texts("main button") == ["Poistu näiltä listoilta", "Poistu kaikilta listoilta"]


def test_a_link_of_a_list_left_before_offers_to_leave_the_others(
    client, make_subscriber, finnish, english, statuses
):
    person = make_subscriber("kalle@example.com", [english])

    page = Page(client.get(way_out(person, finnish)))
    assert (page.texts(".lead"), page.texts("main button")) == ([], ["Poistu kaikilta listoilta"])

    client.post(way_out(person, finnish), data=ONE_CLICK)
    assert statuses() == [CONFIRMED]


def test_after_one_click_the_same_newsletter_no_longer_comes(
    client, meri, finnish, english, make_campaign, send_due, outgoing
):
    start_campaign(make_campaign([finnish, english]).id, now=NOW, actor="staff:1")
    send_due()

    client.post(link(outgoing.last, "unsubscribe"), data=ONE_CLICK)

    with pytest.raises(AudienceEmpty):
        start_campaign(make_campaign([finnish, english]).id, now=NOW, actor="staff:1")
