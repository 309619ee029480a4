"""Sending goes on when it is due, not with the next minute."""

import threading
import time
from datetime import timedelta

import pytest

from newsletter.campaigns.models import CampaignStatus
from newsletter.db import db
from newsletter.running import periodic, timer
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.sending.models import Delivery, DeliveryStatus, SendingDay
from newsletter.sending.worker import deliver
from newsletter.wakeups import queue
from tests.support.apps import on_its_own


@pytest.fixture
def campaign(make_campaign, make_subscriber, finnish, now):
    """One on its way to one reader."""
    reader = make_subscriber(lists=[finnish])
    campaign = make_campaign([finnish])
    start_campaign(campaign.id, now=now, actor="staff:1")
    db.session.commit()
    campaign.reader = reader
    return campaign


@pytest.fixture
def delivery(campaign) -> Delivery:
    return db.session.get_one(Delivery, (campaign.id, campaign.reader.id))


@pytest.fixture
def nowhere(make_app):
    """The application of the test, with a mail server that is away."""
    return make_app(mail_server="127.0.0.1", mail_port=1, mail_connections=1)


@pytest.fixture(autouse=True)
def unset():
    yield
    periodic.campaign_timer.schedule(None)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_an_alarm_wakes_for_its_job_once(app, monkeypatch):
    monkeypatch.setattr(timer, "MIN_DELAY", 0.0)
    clock = timer.WakeupTimer("campaigns")
    threading.Thread(target=clock.run_forever, args=(app,), daemon=True).start()

    clock.schedule(3600.0)
    clock.schedule(0.01)
    deadline = time.monotonic() + 10
    while not queue(app).pending_count() and time.monotonic() < deadline:
        time.sleep(0.001)

    assert (queue(app).pending_count(), clock.seconds_left) == (1, None)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_an_alarm_whose_queue_is_away_rings_again(app, monkeypatch):
    clock = timer.WakeupTimer("campaigns")
    monkeypatch.delitem(app.extensions, "newsletter.queue")

    clock._wake(app)

    assert round(clock.seconds_left or 0) == 5


def test_what_was_refused_for_now_is_due_at_its_time(delivery, now):
    delivery.status, delivery.due_at = DeliveryStatus.DEFERRED, now + timedelta(minutes=5)
    db.session.commit()

    assert deliver.next_due(now) == now + timedelta(minutes=5)


def test_what_a_server_that_was_away_did_not_take_is_due_now(delivery, now):
    assert deliver.next_due(now) == now


@pytest.mark.parametrize("status", [CampaignStatus.PAUSED, CampaignStatus.CANCELLED])
def test_nothing_is_due_of_a_campaign_that_was_stopped(campaign, now, status):
    campaign.status = status
    db.session.commit()

    assert deliver.next_due(now) is None


def test_what_another_worker_holds_is_not_due(delivery, now):
    delivery.leased_by = "other-1234abcd:1:1"
    db.session.commit()

    assert deliver.next_due(now) is None


def test_nothing_is_due_while_todays_ceiling_is_reached(make_app, delivery, now):
    app = make_app(warm_up=f"{now:%Y-%m-%d} 20")
    db.session.add(SendingDay(day=now.date(), taken=20))
    db.session.commit()

    assert on_its_own(app, lambda: deliver.next_due(now)) is None


def test_a_worker_sets_its_alarm_when_the_mail_server_is_away(nowhere, campaign):
    on_its_own(nowhere, periodic.deliver_campaigns)

    assert round(periodic.campaign_timer.seconds_left or 0) == 5


def test_a_worker_sets_its_alarm_when_a_pass_fails(nowhere, campaign, monkeypatch):
    monkeypatch.delitem(nowhere.extensions, "mail")

    with pytest.raises(KeyError):
        on_its_own(nowhere, periodic.deliver_campaigns)

    assert round(periodic.campaign_timer.seconds_left or 0) == 5


def test_a_worker_that_is_through_sets_no_alarm(app, campaign, outgoing):
    periodic.campaign_timer.schedule(10)

    on_its_own(app, periodic.deliver_campaigns)

    assert (len(outgoing.all), periodic.campaign_timer.seconds_left) == (1, None)
