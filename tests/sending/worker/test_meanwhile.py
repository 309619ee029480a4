"""What happens between the start and the sending counts: who went is skipped, whatever the queue says."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import CampaignStatus
from newsletter.db import db
from newsletter.sending.worker import deliver
from newsletter.subscribers.models import Subscriber, Subscription, SubscriptionStatus, SuppressionReason
from newsletter.subscribers.suppressions import suppress
from tests.support.clock import NOW


def work(app):
    with app.app_context():
        return deliver.deliver_due()


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


def test_who_left_one_of_two_lists_gets_it_on_behalf_of_the_other(
    start, make_list, make_subscriber, send_due, outgoing
):
    older, newer = make_list("uutiset"), make_list("tarjoukset")
    reader = make_subscriber(lists=[older, newer])
    start([older, newer])

    leave(reader)
    send_due()

    # Else leaving by this mail would end what has ended already, and nothing more.
    assert outgoing.last["List-Id"] == '"Lista 2" <tarjoukset.kirjakauppa.example>'


def test_a_paused_campaign_goes_on_only_when_it_is_resumed(start, make_list, make_readers, send_due):
    fi = make_list()
    make_readers(fi, 2)
    campaign = start([fi])

    campaign.status = CampaignStatus.PAUSED
    while_paused = send_due()
    campaign.status = CampaignStatus.SENDING

    assert (while_paused, send_due()) == (0, 2)


@pytest.mark.parametrize("connections", [1, 3])
def test_mu5_who_leaves_while_the_campaign_runs_gets_nothing_afterwards(
    real_app, make_app, make_list, make_readers, start, smtp_server, statuses, connections
):
    """MU-5."""
    fi = make_list()
    addresses = make_readers(fi, 90)
    campaign = start([fi])
    app = make_app(**smtp_server.settings, mail_connections=connections)
    last = addresses[-20:]
    db.session.rollback()

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(work, app)
        while len(smtp_server.handed_over) < 10:
            time.sleep(0.001)
        gone = sa.select(Subscriber.id).where(Subscriber.address.in_(last))
        left = sa.update(Subscription).where(Subscription.subscriber_id.in_(gone))
        db.session.execute(left.values(status=SubscriptionStatus.UNSUBSCRIBED))
        db.session.commit()
        already = {message.recipients[0] for message in smtp_server.handed_over}
        sending.result(60)

    got = {message.recipients[0] for message in smtp_server.handed_over}
    assert got & set(last) <= already
    assert [statuses(campaign)[address] for address in last] == ["skipped"] * 20
