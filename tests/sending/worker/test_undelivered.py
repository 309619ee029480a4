"""What failed and what is uncertain: staff see it, and only they send it again."""

import pytest

from newsletter.campaigns.models import CampaignStatus
from newsletter.db import db
from newsletter.sending.models import DeliveryStatus
from newsletter.sending.worker.undelivered import (
    CampaignClosed,
    leave_uncertain,
    page_of_undelivered,
    send_again,
)


@pytest.fixture
def sent(start, make_list, make_subscriber, send_due, smtp_app, smtp_server):
    """A campaign of which one was accepted, one failed, and one is uncertain."""
    fi = make_list()
    for name in ("tuli", "ei", "ehka"):
        make_subscriber(f"{name}@example.com", [fi])
    smtp_server.answer("RCPT", "550 5.1.1 <ei@example.com>: no such person", to="ei@example.com", times=1)
    smtp_server.drop("message", to="ehka@example.com", times=1)
    campaign = start([fi])
    send_due(smtp_app)
    return campaign


def test_they_are_listed_masked_with_the_servers_words_and_no_address(sent):
    rows = page_of_undelivered(sent.id)

    assert [(row.delivery.status.value, row.masked) for row in rows] == [
        ("failed", "e•••@example.com"),
        ("uncertain", "e•••@example.com"),
    ]
    assert (rows[0].delivery.reply_code, rows[0].delivery.reply_text) == (550, "5.1.1 <…>: no such person")


def test_a_page_begins_behind_a_subscriber(sent):
    first = page_of_undelivered(sent.id, size=1)[0].delivery.subscriber_id

    behind = page_of_undelivered(sent.id, after=first, size=1)

    assert [row.delivery.status.value for row in behind] == ["uncertain"]


@pytest.mark.parametrize(
    ("status", "then"),
    [
        (DeliveryStatus.FAILED, {"accepted": 2, "uncertain": 1}),
        (DeliveryStatus.UNCERTAIN, {"accepted": 2, "failed": 1}),
    ],
)
def test_what_is_sent_again_arrives_and_the_totals_are_true(
    sent, send_due, smtp_app, outcome, now, status, then
):
    number = send_again(sent.id, status, now=now, actor="staff:1")
    db.session.commit()
    send_due(smtp_app)

    assert (number, outcome(sent), sent.status) == (1, then, CampaignStatus.SENT)


def test_what_is_left_uncertain_is_no_longer_listed_and_never_sent(
    sent, send_due, smtp_app, smtp_server, outcome, now
):
    left = leave_uncertain(sent.id, now=now, actor="staff:1")
    again = send_again(sent.id, DeliveryStatus.UNCERTAIN, now=now, actor="staff:1")
    db.session.commit()
    send_due(smtp_app)

    assert (left, again) == (1, 0)
    assert outcome(sent) == {"accepted": 1, "failed": 1, "uncertain": 1}
    assert [row.delivery.status.value for row in page_of_undelivered(sent.id)] == ["failed"]


def test_nothing_of_a_cancelled_campaign_is_sent_again(sent, now):
    sent.status = CampaignStatus.CANCELLED

    with pytest.raises(CampaignClosed):
        send_again(sent.id, DeliveryStatus.FAILED, now=now, actor="staff:1")
