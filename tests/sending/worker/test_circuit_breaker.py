"""When the fault is ours: the campaign pauses, says why, and nobody is blamed for it."""

from datetime import timedelta

import pytest

from newsletter.campaigns.models import CampaignStatus
from newsletter.db import db
from newsletter.sending.lifecycle.control import pause, resume
from newsletter.sending.worker.circuit_breaker import pause_reason_text
from tests.support.clock import NOW

POLICY = "550 5.7.1 Your server uutiset@kirjakauppa.example is on a list"


def test_a_policy_against_us_pauses_the_campaign_and_fails_nobody(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, outcome
):
    fi = make_list()
    make_readers(fi, 30)
    smtp_server.answer("RCPT", POLICY)
    campaign = start([fi])

    send_due(smtp_app)

    assert (campaign.status, campaign.pause_reason) == (CampaignStatus.PAUSED, "policy")
    assert campaign.pause_reply == "5.7.1 Your server … is on a list"
    # The tries were not theirs: all of them wait as if none had been made.
    assert outcome(campaign) == {"queued": 30}


OURS = {
    "504 5.5.2 <uutiskone>: Helo command rejected: need fully-qualified hostname": "ehlo",
    "530 5.7.0 Authentication required": "login",
    "550 Relaying denied": "relaying",
    "550 5.4.5 Daily user sending limit exceeded": "limit",
    "550 5.7.23 SPF validation failed: the domain does not designate this host": "policy",
    "553 5.1.8 Sender address rejected: Domain not found": "sender",
}


@pytest.mark.parametrize(("said", "reason"), OURS.items())
def test_sb5_no_mistake_of_ours_fails_anybody(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, outcome, said, reason
):
    fi = make_list()
    make_readers(fi, 12)
    smtp_server.answer("RCPT", said)
    campaign = start([fi])

    send_due(smtp_app)

    assert (campaign.status, campaign.pause_reason) == (CampaignStatus.PAUSED, reason)
    assert pause_reason_text(campaign)
    assert outcome(campaign) == {"queued": 12}

    smtp_server.mend()
    resume(campaign.id, now=NOW, actor="staff:1")
    db.session.commit()
    send_due(smtp_app)

    assert outcome(campaign) == {"accepted": 12}


@pytest.mark.parametrize("said", ["552 5.3.4 Message too large", "554 5.6.0 Malformed message"])
def test_sb5_a_letter_whose_form_is_refused_pauses_and_fails_nobody(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, outcome, said
):
    fi = make_list()
    make_readers(fi, 12)
    smtp_server.answer("message", said)
    campaign = start([fi])

    send_due(smtp_app)

    assert (campaign.status, campaign.pause_reason) == (CampaignStatus.PAUSED, "content")
    assert outcome(campaign) == {"queued": 12}


def test_one_recipient_with_a_policy_pauses_nothing(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, outcome
):
    fi = make_list()
    addresses = make_readers(fi, 3)
    smtp_server.answer("RCPT", POLICY, to=addresses[1])
    campaign = start([fi])

    send_due(smtp_app)

    assert (campaign.status, outcome(campaign)) == (
        CampaignStatus.SENDING,
        {"accepted": 2, "deferred": 1},
    )


def test_encryption_that_cannot_be_had_pauses_at_once(
    start, make_list, make_readers, send_due, make_app, smtp_server, outcome
):
    fi = make_list()
    make_readers(fi, 3)
    campaign = start([fi])
    wants_tls = make_app(**smtp_server.settings, mail_use_tls=True)

    send_due(wants_tls)

    assert (campaign.status, campaign.pause_reason) == (CampaignStatus.PAUSED, "tls")
    assert outcome(campaign) == {"queued": 3}


@pytest.mark.parametrize(
    ("offers", "password", "said"),
    [
        ("250 HELP", "salasana", "SMTP AUTH extension not supported by server."),
        ("250 AUTH GSSAPI", "salasana", "No suitable authentication method found."),
        ("250 AUTH PLAIN LOGIN", "pöllö", "user name or password with letters other than ASCII"),
    ],
)
def test_a_login_that_cannot_be_tried_pauses_at_once_and_says_why(
    start, make_list, make_readers, send_due, make_app, smtp_server, outcome, offers, password, said
):
    fi = make_list()
    make_readers(fi, 3)
    smtp_server.answer("EHLO", f"250-mail.example\r\n{offers}")
    campaign = start([fi])
    named = make_app(**smtp_server.settings, mail_username="kauppa", mail_password=password)

    send_due(named)

    assert (campaign.status, campaign.pause_reason) == (CampaignStatus.PAUSED, "no_login")
    assert campaign.pause_reply == said
    assert outcome(campaign) == {"queued": 3}


@pytest.mark.parametrize(("minutes", "then"), [(9, CampaignStatus.SENDING), (10, CampaignStatus.PAUSED)])
def test_a_server_out_of_reach_pauses_after_ten_minutes(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, clock, outcome, minutes, then
):
    fi = make_list()
    make_readers(fi, 2)
    campaign = start([fi])
    smtp_server.stop()

    send_due(smtp_app)
    clock.shift(timedelta(minutes=minutes))
    send_due(smtp_app)

    assert (campaign.status, outcome(campaign)) == (then, {"queued": 2})


def test_a_server_that_does_not_want_to_speak_with_us_pauses_at_once(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, outcome
):
    fi = make_list()
    make_readers(fi, 3)
    smtp_server.answer("connect", "554 5.3.2 Go away")
    campaign = start([fi])

    send_due(smtp_app)

    assert (campaign.status, campaign.pause_reason) == (CampaignStatus.PAUSED, "refused")
    assert campaign.pause_reply == "554 5.3.2 Go away"
    assert outcome(campaign) == {"queued": 3}


def test_a_server_that_wants_us_to_log_in_pauses_and_fails_nobody(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, outcome
):
    fi = make_list()
    make_readers(fi, 12)
    smtp_server.answer("MAIL", "530 5.7.0 Log in first")
    campaign = start([fi])

    send_due(smtp_app)

    assert (campaign.status, campaign.pause_reason) == (CampaignStatus.PAUSED, "login")
    assert outcome(campaign) == {"queued": 12}


def test_nine_faults_and_one_mail_taken_pause_nothing(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, outcome
):
    fi = make_list()
    make_readers(fi, 12)
    smtp_server.answer("RCPT", POLICY, times=9)
    campaign = start([fi])

    send_due(smtp_app)

    assert outcome(campaign) == {"deferred": 9, "accepted": 3}


def test_a_pause_by_hand_is_not_told_as_the_fault_of_before(
    start, make_list, make_readers, send_due, make_app, smtp_server
):
    fi = make_list()
    make_readers(fi, 1)
    campaign = start([fi])
    send_due(make_app(**smtp_server.settings, mail_use_tls=True))
    faulty = pause_reason_text(campaign)

    resume(campaign.id, now=NOW, actor="staff:1")
    running = pause_reason_text(campaign)
    pause(campaign.id, now=NOW, actor="staff:1")

    assert faulty.startswith("Paused: the connection to the mail server cannot be encrypted")
    assert (running, pause_reason_text(campaign), campaign.pause_reply) == (None, None, None)
