"""What happens between the start and the sending counts: who went is skipped, whatever the queue says."""

from datetime import timedelta

import pytest

from newsletter.campaigns.models import CampaignStatus
from newsletter.subscribers.models import SubscriptionStatus, SuppressionReason
from newsletter.subscribers.suppressions import suppress
from tests.support.clock import NOW


def leave(reader):
    reader.subscriptions[0].status = SubscriptionStatus.UNSUBSCRIBED


def be_suppressed(reader):
    suppress(reader.address_key, SuppressionReason.COMPLAINED, NOW)


def be_restricted(reader):
    reader.restricted_at = NOW


@pytest.mark.parametrize("go", [leave, be_suppressed, be_restricted])
def test_who_went_between_start_and_sending_is_skipped(
    start, make_list, make_subscriber, send_due, outgoing, outcome, go
):
    fi = make_list()
    stays, goes = make_subscriber(lists=[fi]), make_subscriber(lists=[fi])
    campaign = start([fi])

    go(goes)
    send_due()

    assert outcome(campaign) == {"accepted": 1, "skipped": 1}
    assert [address for address, _subject in outgoing.subjects] == [stays.address]


@pytest.mark.parametrize("go", [leave, be_suppressed, be_restricted])
def test_who_went_between_two_tries_is_skipped(
    start, make_list, make_subscriber, send_due, smtp_app, smtp_server, clock, outcome, go
):
    fi = make_list()
    reader = make_subscriber(lists=[fi])
    smtp_server.answer("RCPT", "451 4.3.0 Not now", times=1)
    campaign = start([fi])

    send_due(smtp_app)
    go(reader)
    clock.shift(timedelta(minutes=1))
    send_due(smtp_app)

    assert (outcome(campaign), smtp_server.messages) == ({"skipped": 1}, [])


def test_a_paused_campaign_goes_on_only_when_it_is_resumed(start, make_list, make_readers, send_due):
    fi = make_list()
    make_readers(fi, 2)
    campaign = start([fi])

    campaign.status = CampaignStatus.PAUSED
    while_paused = send_due()
    campaign.status = CampaignStatus.SENDING

    assert (while_paused, send_due()) == (0, 2)
