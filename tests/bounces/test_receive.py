"""SB-4, SB-5, SB-6: what a report changes, and what changes nothing."""

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from newsletter.api.models import WebhookMessage
from newsletter.api.webhooks import BOUNCED, COMPLAINED, create_webhook, enqueue_messages
from newsletter.bounces.models import Bounce, Complaint
from newsletter.bounces.personal_data import delete_expired
from newsletter.bounces.receive import Outcome, receive_message
from newsletter.db import db
from newsletter.db.leases import owner
from newsletter.ledger import audit
from newsletter.mail.models import OutboxMail
from newsletter.mail.return_path import OUTBOX_CAMPAIGN, return_paths
from newsletter.mail.smtp.transport import Reply
from newsletter.privacy.retention.erasure import erase_person
from newsletter.sending.lifecycle.audience import audience_of
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.sending.message.personalize import MESSAGE_ID
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.worker.leasing import ClaimedDelivery
from newsletter.sending.worker.record import record_and_claim
from newsletter.subscribers.models import (
    Consent,
    ConsentKind,
    Signup,
    Subscriber,
    SubscriptionStatus,
    SuppressionReason,
)
from newsletter.subscribers.signup.confirm import delete_expired_signups
from newsletter.subscribers.suppressions import find_suppression, suppress
from newsletter.subscribers.undelivered import list_undelivered
from tests.bounces.conftest import BY_NAME, report_on, status_of, totals_of
from tests.subscribers.conftest import english, finnish, request_link, sign_up, stored
from tests.subscribers.rows import every_row
from tests.support.apps import on_its_own
from tests.support.clock import NOW

__all__ = ["english", "finnish", "request_link", "sign_up", "stored"]

#: These say nothing that counts (SB-6).
HARMLESS = ["postfix-warning", "out-of-office-exchange", "confirm-you-sent", "delivered", "not-spam"]


def reason_of(person: Subscriber) -> str | None:
    found = find_suppression(person.address_key)
    return found.reason.value if found else None


def all_but_reports() -> dict[str, object]:
    return {name: rows for name, rows in every_row().items() if name not in {"bounces", "complaints"}}


def test_sb4_every_recipient_has_an_envelope_sender_of_their_own(
    start, make_list, make_readers, send_due, smtp_app, smtp_server
):
    fi = make_list()
    make_readers(fi, 3)
    campaign = start([fi])

    send_due(smtp_app)

    senders = {mail.recipients[0]: mail.sender for mail in smtp_server.messages}
    people = db.session.query(Subscriber)
    assert senders == {person.address: return_paths().of(campaign.id, person.id) for person in people}


def test_sb5_a_hard_bounce_marks_the_delivery_and_suppresses_the_address(sent, bounce):
    campaign, person = it = sent()

    assert bounce(it) == "recorded"

    assert status_of(it) == "bounced"
    assert totals_of(campaign, "accepted", "bounced", "complained") == (1, 1, 0)
    assert reason_of(person) == "bounced"
    assert audience_of(campaign).recipients == 0


@pytest.mark.parametrize(
    "name", ["postfix-mailbox-full", "policy-rejected", "block-list-under-a-hard-status"]
)
def test_sb5_what_is_not_the_persons_fault_costs_them_nothing(sent, bounce, name):
    campaign, person = it = sent()

    bounce(it, name)

    assert (status_of(it), totals_of(campaign, "bounced")) == ("bounced", (1,))
    assert reason_of(person) is None
    assert person.subscriptions[0].status is SubscriptionStatus.CONFIRMED


@pytest.mark.parametrize("name", HARMLESS)
def test_sb6_late_and_automatic_mails_change_nothing_and_get_no_reply(sent, bounce, name):
    it = sent()
    before = all_but_reports()

    bounce(it, name)

    assert all_but_reports() == before


@pytest.mark.parametrize("name", ["out-of-office-exchange", "confirm-you-sent", "delivered"])
def test_nothing_is_kept_of_what_a_mailbox_says_by_itself(sent, bounce, name):
    bounce(sent(), name)

    row = db.session.query(Bounce).one()
    assert (row.raw, row.text) == (None, None)


def test_sb6_a_complaint_leaves_all_lists_at_once(sent, bounce, make_list, make_subscriber, now):
    person = make_subscriber("tilaaja@example.com", [make_list(), make_list()])
    campaign, _person = it = sent(person)

    bounce(it, "abuse")

    assert {item.status.value for item in person.subscriptions} == {"unsubscribed"}
    assert (status_of(it), totals_of(campaign, "complained", "unsubscribed")) == ("complained", (1, 0))
    assert reason_of(person) == "complained"
    methods = [row.method for row in db.session.query(Consent).filter_by(kind=ConsentKind.WITHDRAWN)]
    assert methods == ["complaint", "complaint"]  # MU-7
    assert db.session.query(Complaint).one().feedback_type == "abuse"


def test_a_complaint_sent_elsewhere_is_known_by_the_mail_in_it(sent, now):
    campaign, person = it = sent()
    message_id = f"{MESSAGE_ID.make(campaign.editions[0].id, person.id)}@kirjakauppa.example"
    content = report_on("nobody@kirjakauppa.example", "abuse-headers-only", message_id)

    receive_message(content, source="imap", now=now)

    assert status_of(it) == "complained"


def test_a_bounce_that_follows_a_complaint_counts_once(sent, bounce):
    campaign, _person = it = sent()

    bounce(it, "abuse")
    bounce(it)

    assert (status_of(it), totals_of(campaign, "bounced", "complained")) == ("complained", (0, 1))


def test_sb4_a_replayed_report_changes_nothing(sent, bounce, now):
    it = sent()
    bounce(it)
    before = every_row()

    assert bounce(it, at=now + timedelta(days=1)) == "repeated"

    assert every_row() == before


def test_a_confirmation_since_outweighs_an_older_report(sent, bounce, clock, now):
    _campaign, person = it = sent()
    person.subscriptions[0].confirmed_at = now + timedelta(days=2)
    db.session.commit()

    bounce(it)

    assert (status_of(it), reason_of(person)) == ("bounced", None)


@pytest.mark.parametrize("name", ["postfix-unknown-user", "abuse"])
def test_what_came_back_from_an_old_address_says_nothing_of_the_new_one(sent, bounce, now, name):
    _campaign, person = it = sent()
    audit.record("address changed", actor="person", now=now, object=f"subscriber:{person.id}")
    db.session.commit()

    bounce(it, name)

    assert status_of(it) in {"bounced", "complained"}
    assert reason_of(person) is None
    assert person.subscriptions[0].status is SubscriptionStatus.CONFIRMED


def test_what_else_the_desk_put_right_leaves_the_address_as_it_was(sent, bounce, now):
    """An address put right waits for its mailbox; until then, and for a language, mail goes to the same one."""
    _campaign, person = it = sent()
    audit.record("rectification carried out", actor="staff:1", now=now, object=f"subscriber:{person.id}")
    db.session.commit()

    bounce(it)

    assert (status_of(it), reason_of(person)) == ("bounced", "bounced")


@pytest.mark.parametrize("damage", ["forged", "truncated", "nothing"])
def test_sb4_without_our_token_a_report_is_kept_and_changes_nothing(sent, damage, now):
    campaign, person = sent()
    genuine = return_paths().of(campaign.id, person.id)
    path = {
        "forged": genuine.replace("+b0", "+b1"),
        "truncated": genuine[:30] + "@kirjakauppa.example",
        "nothing": "uutiset@kirjakauppa.example",
    }[damage]
    before = all_but_reports()

    _reading, outcome = receive_message(report_on(path), source="imap", now=now)
    db.session.commit()

    assert (outcome.value, all_but_reports()) == ("kept", before)
    row = db.session.query(Bounce).one()
    assert (row.kind.value, row.subscriber_id, row.reason) == ("unreadable", None, "unnamed")
    assert row.raw is not None


def test_a_report_on_someone_who_is_gone_leaves_nothing(sent, now):
    campaign, _person = sent()

    _reading, outcome = receive_message(
        report_on(return_paths().of(campaign.id, 4711)), source="imap", now=now
    )

    assert (outcome.value, db.session.query(Bounce).count()) == ("gone", 0)


def test_an_uncertain_delivery_that_came_back_was_accepted(sent, bounce):
    campaign, person = it = sent()
    delivery = db.session.get_one(Delivery, (campaign.id, person.id))
    delivery.status, delivery.accepted_at = DeliveryStatus.UNCERTAIN, None
    campaign.totals.accepted, campaign.totals.uncertain = 0, 1
    db.session.commit()

    bounce(it)

    assert totals_of(campaign, "accepted", "uncertain", "bounced") == (1, 0, 1)


def test_a_report_that_comes_before_the_servers_answer_counts_once(sent, bounce, now):
    """The connection that handed the mail over still holds it, and writes down its answer later."""
    campaign, person = it = sent()
    delivery = db.session.get_one(Delivery, (campaign.id, person.id))
    delivery.status, delivery.accepted_at, delivery.leased_by = DeliveryStatus.SENDING, None, owner()
    campaign.totals.accepted = 0
    db.session.commit()

    bounce(it)
    claimed = ClaimedDelivery(campaign.id, person.id, 1, 1, 1, person.address, is_measured=False)
    record_and_claim(campaign.id, [(claimed, Reply(250, "ok"))], [], now)

    assert (status_of(it), totals_of(campaign, "accepted", "bounced")) == ("bounced", (1, 1))


@pytest.mark.parametrize(
    ("name", "line", "strange"),
    [
        ("abuse", b"Feedback-Type: abuse", b"Feedback-Type: ab\0use\xff"),
        ("postfix-unknown-user", b"smtp; 550", b"smtp; \0 \xff\xfe 550"),
        ("postfix-unknown-user", b"Status: 5.1.1", b"Status: 5.1.1\0"),
        ("gateway-html-only", b"charset=utf-8\n\n", b"charset=utf-7\n\n550 5.1.1 +2AA-"),
        ("gateway-html-only", b"charset=utf-8", b"charset=no-such-thing"),
    ],
)
def test_whatever_strangers_write_can_be_stored(sent, now, name, line, strange):
    campaign, person = sent()
    content = report_on(return_paths().of(campaign.id, person.id), name)
    assert line in content

    receive_message(content.replace(line, strange), source="imap", now=now)
    db.session.commit()

    assert db.session.query(Bounce).count() + db.session.query(Complaint).count() == 1


@given(st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damaged_report_leaves_the_intake_by_an_exception(sent_once, now, data):
    campaign, person = sent_once
    path = data.draw(st.sampled_from(sorted(BY_NAME)))
    content = bytearray(report_on(return_paths().of(campaign.id, person.id), path))
    start = data.draw(st.integers(0, len(content)))
    content[start : start + data.draw(st.integers(0, 60))] = data.draw(st.binary(max_size=30))

    _reading, outcome = receive_message(bytes(content), source="imap", now=now)
    db.session.commit()

    assert isinstance(outcome, Outcome)


@pytest.fixture
def sent_once(sent):
    return sent()


# --- leaving by mail --------------------------------------------------------------------------------


def leave_by_mail(campaign, person, name: str, now) -> str:
    paths = return_paths()
    path = f"uutiset+u{paths.unsubscribe_token(campaign.id, person.id).decode()}@kirjakauppa.example"
    reading, _outcome = receive_message(report_on(path, name), source="smtp", now=now)
    db.session.commit()
    return reading.kind.value


def test_mu7_a_mail_to_the_address_in_the_header_leaves_the_list(sent, now):
    campaign, person = sent()

    assert leave_by_mail(campaign, person, "a-person-writes", now) == "unsubscribe"

    assert person.subscriptions[0].status is SubscriptionStatus.UNSUBSCRIBED
    assert totals_of(campaign, "unsubscribed") == (1,)
    assert db.session.query(Consent).filter_by(kind=ConsentKind.WITHDRAWN).one().method == "mail"


@pytest.mark.parametrize("name", ["out-of-office-exchange", "confirm-you-sent"])
def test_a_mailbox_that_writes_by_itself_leaves_nothing(sent, now, name):
    campaign, person = sent()

    leave_by_mail(campaign, person, name, now)

    assert person.subscriptions[0].status is SubscriptionStatus.CONFIRMED


def test_the_address_to_leave_by_stands_in_the_header_where_one_is_read(
    make_app, make_campaign, make_subscriber, send_due, smtp_server
):
    person = make_subscriber()
    campaign_id = make_campaign([person.subscriptions[0].mailing_list]).id
    through = make_app(**smtp_server.settings, bounce_address="palaute@kirjakauppa.example")

    on_its_own(through, start_and_commit, campaign_id)
    send_due(through)

    (mail,) = smtp_server.messages
    with through.app_context():
        token = return_paths().unsubscribe_token(campaign_id, person.id).decode()
    way_out = f"<mailto:palaute+u{token}@kirjakauppa.example?subject=unsubscribe>"
    assert mail.parsed["List-Unsubscribe"].endswith(f", {way_out}")
    assert mail.sender.startswith("palaute+b")


def start_and_commit(campaign_id: int) -> None:
    start_campaign(campaign_id, now=NOW, actor="staff:1")
    db.session.commit()


def test_a_newsletter_that_is_passed_on_to_us_leaves_nothing(sent, now):
    """It has the address to leave by in its header; only a mail to that address leaves."""
    campaign, person = sent()
    token = return_paths().unsubscribe_token(campaign.id, person.id).decode()
    way_out = f"<mailto:uutiset+u{token}@kirjakauppa.example?subject=unsubscribe>"
    content = f"From: a@example.com\r\nTo: x@example.com\r\nList-Unsubscribe: {way_out}\r\n\r\n".encode()

    receive_message(content, source="imap", now=now)

    assert person.subscriptions[0].status is SubscriptionStatus.CONFIRMED


# --- single mails -----------------------------------------------------------------------------------


def single_mail(template: str) -> OutboxMail:
    return db.session.scalars(sa.select(OutboxMail).where(OutboxMail.template == template)).one()


def take_single(mail: OutboxMail, name: str, now) -> str:
    content = report_on(return_paths().of(OUTBOX_CAMPAIGN, mail.id), name)
    _reading, outcome = receive_message(content, source="maildir", now=now)
    db.session.commit()
    return outcome.value


def test_sb5_a_hard_bounce_of_a_confirmation_mail_clears_the_request(sign_up, finnish, send_due, now):
    sign_up("tilaaja@example.com")
    send_due()
    mail = single_mail("confirm")

    assert take_single(mail, "postfix-unknown-user", now) == "recorded"

    assert (db.session.query(Signup).count(), db.session.query(Subscriber).count()) == (0, 0)
    (item,) = list_undelivered(now)
    assert (item.mail.id, item.mail.status.value, item.mail.reply_code) == (mail.id, "failed", 550)
    row = db.session.query(Bounce).one()
    assert (row.kind.value, row.subscriber_id, row.raw, row.text) == ("hard", None, None, None)


def test_a_full_mailbox_leaves_the_request_waiting(sign_up, finnish, send_due, now):
    sign_up("tilaaja@example.com")
    send_due()

    take_single(single_mail("confirm"), "postfix-mailbox-full", now)

    assert db.session.query(Signup).count() == 1


def test_what_came_back_of_a_request_goes_with_it(sign_up, finnish, send_due, now):
    sign_up("tilaaja@example.com")
    send_due()
    take_single(single_mail("confirm"), "postfix-mailbox-full", now)
    later = now + timedelta(days=8)

    delete_expired_signups(later)
    delete_expired(later)

    assert "tilaaja@example.com" not in str(every_row())


def test_rp6_messages_go_after_their_time_and_the_rest_stays(sent, bounce, now):
    it = sent()
    bounce(it)
    receive_message(report_on("nobody@kirjakauppa.example"), source="imap", now=now)

    delete_expired(now + timedelta(days=29))
    assert [row.raw is None for row in db.session.query(Bounce).order_by(Bounce.id)] == [False, False]
    db.session.expire_all()
    delete_expired(now + timedelta(days=31))

    row = db.session.query(Bounce).one()
    assert (row.raw, row.status, row.kind.value) == (None, "5.1.1", "hard")


def test_rd4_an_erased_address_is_in_no_report_that_named_nobody(real_app, make_subscriber, now):
    make_subscriber("Tilaaja@example.com")
    for content in (report_on("nobody@kirjakauppa.example"), b"Subject: of somebody else\n\n"):
        receive_message(content, source="imap", now=now)
    db.session.commit()

    erase_person("tilaaja@example.com", now=now, actor="staff:1")

    assert [row.raw for row in db.session.query(Bounce).options(sa.orm.undefer(Bounce.raw))] == [
        "Subject: of somebody else\n\n"
    ]


def test_other_programs_hear_of_bounces_and_complaints(sent, bounce, make_app, make_list, now):
    campaign, person = it = sent()
    with make_app(webhook_hosts="shop.example").app_context():
        create_webhook("https://shop.example/hook", [BOUNCED, COMPLAINED], now=now, actor="console")
        db.session.commit()
    bounce(it)
    bounce(it, "out-of-office-exchange")
    bounce(it, "abuse")

    assert (enqueue_messages(now), enqueue_messages(now)) == (2, 0)

    told = [json.loads(row.body) for row in db.session.query(WebhookMessage).order_by(WebhookMessage.event)]
    named = {"subscriber_id": person.id, "campaign_id": campaign.id}
    assert [(row["type"], row["data"]) for row in told] == [
        ("subscriber.bounced", named | {"kind": "hard", "status": "5.1.1"}),
        ("subscriber.complained", named),
    ]


# --- soft bounces -----------------------------------------------------------------------------------


def soft_campaigns(sent, bounce, clock, person, number: int, days: float) -> None:
    for _turn in range(number):
        bounce(sent(person), "postfix-mailbox-full")
        clock.shift(timedelta(days=days))


@pytest.mark.parametrize(("number", "days", "gives_up"), [(5, 3.5, True), (4, 10, False), (6, 2, False)])
def test_sb5_soft_bounces_give_up_after_five_in_a_row_over_two_weeks(
    sent, bounce, clock, make_subscriber, number, days, gives_up
):
    person = make_subscriber()

    soft_campaigns(sent, bounce, clock, person, number, days)

    assert (reason_of(person) == "bounced") is gives_up


@pytest.mark.parametrize(("between", "gives_up"), [(None, False), ("policy-rejected", True)])
def test_sb5_a_campaign_that_arrives_ends_the_row(sent, bounce, clock, make_subscriber, between, gives_up):
    """One turned away because of us neither counts nor ends it."""
    person = make_subscriber()
    soft_campaigns(sent, bounce, clock, person, 3, 4)
    it = sent(person)
    if between:
        bounce(it, between)
    clock.shift(timedelta(days=4))

    soft_campaigns(sent, bounce, clock, person, 2, 4)

    assert (reason_of(person) == "bounced") is gives_up


def test_a_first_reason_stays(sent, bounce, make_subscriber, now):
    person = make_subscriber()
    it = sent(person)
    suppress(person.address_key, SuppressionReason.BANNED, now)

    bounce(it)

    assert reason_of(person) == "banned"
