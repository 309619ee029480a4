"""SB-5: what a server says at once of an address counts like the same words in a report."""

import pytest

from newsletter.bounces.models import Bounce
from newsletter.db import db
from newsletter.mail import outbox
from newsletter.mail.models import MailStatus, OutboxMail
from newsletter.mail.outbox import HELD_GAP
from newsletter.mail.replies.rules import VERSION
from newsletter.subscribers.models import Suppression
from newsletter.subscribers.suppressions import find_suppression
from tests.support.apps import on_its_own


def test_a_dead_mailbox_is_dead_wherever_it_is_said(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, outcome
):
    fi = make_list()
    gone, here = make_readers(fi, 2)
    smtp_server.answer("RCPT", "550 5.1.1 User unknown", to=gone)

    campaign = start([fi])
    send_due(smtp_app)

    assert outcome(campaign) == {"accepted": 1, "failed": 1}
    assert find_suppression(gone) is not None
    assert find_suppression(here) is None
    row = db.session.query(Bounce).one()
    assert (row.kind.value, row.source, row.rules) == ("hard", "reply", VERSION)
    assert row.said["stage"] == "rcpt"


@pytest.mark.parametrize("said", ["552 5.2.2 Mailbox full", "550 5.2.1 The user is receiving mail at a rate"])
def test_a_living_one_that_refuses_once_is_written_to_again(
    start, make_list, make_readers, send_due, smtp_app, smtp_server, said
):
    fi = make_list()
    make_readers(fi, 1)
    smtp_server.answer("RCPT", said)

    start([fi])
    send_due(smtp_app)

    assert db.session.query(Suppression).count() == 0
    assert [row.kind.value for row in db.session.query(Bounce)] == ["soft"]


def test_single_mails_wait_for_us_and_go_when_it_is_mended(app, smtp_app, smtp_server, clock, now):
    context = {
        "lists": ["Uutiset"],
        "preferences_url": "https://a.example",
        "unsubscribe_url": "https://b.example",
    }
    for number in range(5):
        to = f"lukija{number}@example.com"
        outbox.enqueue("already_subscribed", to=to, language="fi", now=now, context=context)
    db.session.commit()
    smtp_server.answer("RCPT", "504 5.5.2 Helo command rejected")
    for _minute in range(20):
        assert on_its_own(smtp_app, outbox.deliver_due) == 0
        clock.shift(HELD_GAP)

    rows = db.session.query(OutboxMail).populate_existing().all()
    assert {row.status for row in rows} == {MailStatus.QUEUED}
    assert (max(row.attempts for row in rows), outbox.held()[1]) == (0, "ehlo")

    smtp_server.mend()

    assert on_its_own(smtp_app, outbox.deliver_due) == 5
    assert outbox.held() == (0, None)
