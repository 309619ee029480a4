"""From the queue to the mail server: each recipient once, whatever the server answers."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import CampaignStatus
from newsletter.db import db
from newsletter.mail.return_path import return_paths
from newsletter.sending.models import Delivery, DeliveryStatus
from tests.support.clock import NOW

STAGES = ["MAIL", "RCPT", "DATA", "message"]


# --- accepted --------------------------------------------------------------------------------------


def test_a_campaign_reaches_everyone_once(start, make_list, make_readers, send_due, outgoing, outcome):
    fi = make_list()
    addresses = make_readers(fi, 3)
    campaign = start([fi])

    accepted = send_due()

    assert (accepted, outcome(campaign)) == (3, {"accepted": 3})
    assert outgoing.subjects == [(address, "Maaliskuun uutiset") for address in addresses]


def test_what_has_been_sent_is_never_sent_again(start, make_list, make_readers, send_due, outgoing):
    fi = make_list()
    make_readers(fi, 1)
    start([fi])

    send_due()
    send_due()

    assert len(outgoing.all) == 1


def test_a_campaign_is_sent_when_nothing_is_on_its_way(start, make_list, make_readers, send_due, now):
    fi = make_list()
    make_readers(fi, 1)
    campaign = start([fi])

    send_due()

    assert (campaign.status, campaign.finished_at) == (CampaignStatus.SENT, now)


def test_a_mail_server_gets_what_the_mailbox_gets(
    start, make_list, make_subscriber, send_due, smtp_app, smtp_server, outgoing
):
    fi = make_list()
    reader = make_subscriber("Matti.Meikalainen+lehti@example.com", [fi])
    for through in (None, smtp_app):
        campaign = start([fi])
        send_due(through)

    (received,) = smtp_server.messages
    assert (received.sender, received.recipients) == (
        return_paths().of(campaign.id, reader.id),
        ("Matti.Meikalainen+lehti@example.com",),
    )
    assert received.parsed["To"] == outgoing.last["To"]
    assert received.parsed.get_body(("html",)) is not None


def test_sb1_the_servers_answer_is_kept(start, make_list, make_subscriber, send_due, smtp_app, now):
    fi = make_list()
    reader = make_subscriber(lists=[fi])
    campaign = start([fi])

    send_due(smtp_app)

    row = db.session.get_one(Delivery, (campaign.id, reader.id))
    assert (row.reply_code, row.accepted_at, row.attempts, row.leased_by) == (250, now, 1, None)


# --- not now ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_a_refusal_for_now_is_tried_again_later(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, clock, outcome, stage
):
    fi = make_list()
    make_readers(fi, 1)
    smtp_server.answer(stage, "451 4.3.0 Not now", times=1)
    campaign = start([fi])

    send_due(smtp_app)
    refused = outcome(campaign)
    clock.shift(timedelta(seconds=61))
    send_due(smtp_app)

    assert (refused, outcome(campaign)) == ({"deferred": 1}, {"accepted": 1})
    assert len(smtp_server.messages) == 1


def test_a_refusal_for_now_is_not_tried_again_before_its_time(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, clock
):
    fi = make_list()
    make_readers(fi, 1)
    smtp_server.answer("RCPT", "451 4.3.0 Not now")
    start([fi])

    send_due(smtp_app)
    clock.shift(timedelta(seconds=59))
    send_due(smtp_app)

    assert smtp_server.heard.count("RCPT") == 1


@pytest.mark.parametrize("engine", ["sqlite"])
def test_sb3_the_gaps_grow_for_four_days_then_it_has_failed(
    start, make_list, make_subscriber, send_due, smtp_app, smtp_server, clock, outcome
):
    fi = make_list()
    reader = make_subscriber(lists=[fi])
    smtp_server.answer("RCPT", "451 4.3.0 Not now")
    campaign = start([fi])
    row = db.session.get_one(Delivery, (campaign.id, reader.id))
    gaps, due_at = [], NOW

    send_due(smtp_app)
    while row.due_at is not None:
        gaps.append((row.due_at - due_at) // timedelta(minutes=1))
        due_at = row.due_at
        clock.move_to(due_at)
        send_due(smtp_app)

    assert gaps == [1, 5, 15, 60, 180, 360, 720, 1440, 1440, 1440]
    assert (outcome(campaign), row.attempts, row.reply_code) == ({"failed": 1}, 11, 451)


def test_a_campaign_is_on_its_way_while_somebody_waits(
    start, make_list, make_readers, send_due, smtp_app, smtp_server
):
    fi = make_list()
    addresses = make_readers(fi, 2)
    smtp_server.answer("RCPT", "451 4.3.0 Not now", to=addresses[0])
    campaign = start([fi])

    send_due(smtp_app)

    assert campaign.status is CampaignStatus.SENDING


def test_a_greylisting_server_takes_everyone_the_second_time(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, clock
):
    fi = make_list()
    addresses = make_readers(fi, 3)
    smtp_server.greylist()
    start([fi])

    tried = [send_due(smtp_app), clock.shift(timedelta(minutes=1)), send_due(smtp_app)]

    assert tried == [0, None, 3]
    assert [received.recipients for received in smtp_server.messages] == [(address,) for address in addresses]


def test_a_copy_tried_again_is_the_same_message(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, clock
):
    fi = make_list()
    make_readers(fi, 1)
    smtp_server.answer("message", "451 4.3.0 Not now", times=1)
    start([fi])

    send_due(smtp_app)
    clock.shift(timedelta(minutes=1))
    send_due(smtp_app)

    first, again = [received.parsed for received in smtp_server.handed_over]
    assert first["Message-ID"] == again["Message-ID"]


# --- never -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "MAIL"])
def test_sb3_a_refusal_for_good_is_never_tried_again(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, clock, outcome, stage
):
    fi = make_list()
    make_readers(fi, 1)
    smtp_server.answer(stage, "550 5.1.1 No such person")
    campaign = start([fi])

    for _try in range(3):
        send_due(smtp_app)
        clock.shift(timedelta(days=1))

    assert (outcome(campaign), campaign.status) == ({"failed": 1}, CampaignStatus.SENT)
    assert smtp_server.heard.count(stage) == 1


def test_a_refusal_before_the_recipient_is_named_is_never_the_recipients(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, outcome
):
    fi = make_list()
    make_readers(fi, 1)
    smtp_server.answer("MAIL", "550 5.1.1 No such person")
    campaign = start([fi])

    send_due(smtp_app)

    assert (outcome(campaign), campaign.status) == ({"queued": 1}, CampaignStatus.PAUSED)


def test_one_who_is_refused_holds_up_nobody(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, statuses
):
    fi = make_list()
    first, second, third = make_readers(fi, 3)
    smtp_server.answer("RCPT", "550 5.1.1 No such person", to=second)
    campaign = start([fi])

    send_due(smtp_app)

    assert statuses(campaign) == {first: "accepted", second: "failed", third: "accepted"}


# --- nobody knows ----------------------------------------------------------------------------------


def test_sb3_a_connection_lost_after_the_final_dot_is_never_tried_again(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, clock, outcome
):
    fi = make_list()
    make_readers(fi, 1)
    smtp_server.drop("message", times=1)
    campaign = start([fi])

    for _try in range(3):
        send_due(smtp_app)
        clock.shift(timedelta(days=1))

    assert (outcome(campaign), len(smtp_server.handed_over)) == ({"uncertain": 1}, 1)


def test_a_server_silent_after_the_final_dot_is_never_asked_again(
    start, make_app, make_list, make_readers, send_due, smtp_server, clock, outcome
):
    fi = make_list()
    make_readers(fi, 1)
    smtp_server.stall("message", times=1)
    impatient = make_app(**smtp_server.settings | {"mail_timeout": 0.1})
    campaign = start([fi])

    send_due(impatient)
    clock.shift(timedelta(days=1))
    send_due(impatient)

    assert (outcome(campaign), len(smtp_server.handed_over)) == ({"uncertain": 1}, 1)


@pytest.mark.parametrize("stage", ["connect", "EHLO"])
def test_a_connection_that_cannot_be_made_costs_nobody_a_try(
    start, make_list, make_subscriber, send_due, smtp_app, smtp_server, stage
):
    fi = make_list()
    reader = make_subscriber(lists=[fi])
    smtp_server.drop(stage, times=1)
    campaign = start([fi])

    send_due(smtp_app)

    row = db.session.get_one(Delivery, (campaign.id, reader.id))
    assert (row.status, row.attempts) == (DeliveryStatus.ACCEPTED, 1)


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
def test_a_connection_lost_before_the_content_is_tried_again(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, clock, outcome, stage
):
    fi = make_list()
    make_readers(fi, 1)
    smtp_server.drop(stage, times=1)
    campaign = start([fi])

    send_due(smtp_app)
    lost = outcome(campaign)
    clock.shift(timedelta(minutes=1))
    send_due(smtp_app)

    assert (lost, outcome(campaign)) == ({"deferred": 1}, {"accepted": 1})


def test_a_lost_connection_is_made_anew(start, make_list, make_readers, send_due, smtp_app, smtp_server):
    fi = make_list()
    addresses = make_readers(fi, 3)
    smtp_server.drop("MAIL", times=1)
    start([fi])

    send_due(smtp_app)

    assert [received.recipients[0] for received in smtp_server.messages] == addresses[1:]


def test_those_behind_a_connection_that_is_lost_again_and_again_are_given_back_untried(
    start, make_list, make_readers, send_due, smtp_app, smtp_server
):
    fi = make_list()
    make_readers(fi, 5)
    smtp_server.drop("MAIL")
    start([fi])

    send_due(smtp_app)

    rows = db.session.execute(
        sa.select(Delivery.attempts, Delivery.leased_by).order_by(Delivery.subscriber_id)
    )
    assert [tuple(row) for row in rows] == [(1, None)] * 3 + [(0, None)] * 2


def test_nothing_is_lost_while_the_server_is_away(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, clock, outcome
):
    fi = make_list()
    addresses = make_readers(fi, 3)
    campaign = start([fi])

    smtp_server.stop()
    send_due(smtp_app)
    send_due(smtp_app)
    smtp_server.start()
    clock.shift(timedelta(minutes=1))
    send_due(smtp_app)

    assert outcome(campaign) == {"accepted": 3}
    assert sorted(received.recipients[0] for received in smtp_server.messages) == addresses
