"""Letting a campaign go: typed, checked, by one person or two, now or at its time."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from newsletter.campaigns.drafts import get_campaign
from newsletter.campaigns.models import CampaignStatus, HeldReason
from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.running.periodic import sweep, work_until_idle
from newsletter.sending.lifecycle.local_time import parse_local_time
from newsletter.sending.lifecycle.preflight import ChecksFailed, SenderIncomplete
from newsletter.sending.lifecycle.release import (
    CountDiffers,
    NotScheduled,
    SchedulePast,
    SecondPersonNeeded,
    release_campaign,
    start_due,
    withdraw,
)
from newsletter.sending.lifecycle.start import AudienceEmpty, NotADraft
from newsletter.sending.models import Delivery
from newsletter.subscribers.models import SubscriptionStatus
from tests.support.apps import on_its_own
from tests.support.clock import NOW

HOUR = timedelta(hours=1)


@pytest.fixture
def draft(make_list, make_subscriber, make_campaign):
    """A draft that reaches two people."""
    fi = make_list()
    make_subscriber(lists=[fi])
    make_subscriber(lists=[fi])
    return make_campaign([fi])


@pytest.fixture
def scheduled(draft):
    """A campaign that is to go out in an hour."""
    release_campaign(draft.id, at=NOW + HOUR, now=NOW, actor="staff:1", typed=2)
    db.session.commit()
    return draft


def acts():
    entries = db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id))
    return [(entry.actor, entry.action) for entry in entries][1:]


def deliveries():
    return db.session.scalar(sa.select(sa.func.count()).select_from(Delivery))


# --- one person ------------------------------------------------------------------------------------


def test_ss5_with_the_right_number_typed_it_starts(draft):
    release_campaign(draft.id, at=None, now=NOW, actor="staff:1", typed=2)

    assert (draft.status, draft.totals.recipients) == (CampaignStatus.SENDING, 2)
    assert acts() == [("staff:1", "campaign sent")]


@pytest.mark.parametrize("typed", [0, 1, 3, 22, -1])
def test_ss5_with_another_number_nothing_happens(draft, typed):
    with pytest.raises(CountDiffers) as refused:
        release_campaign(draft.id, at=None, now=NOW, actor="staff:1", typed=typed)

    assert refused.value.values == {"count": 2}
    assert (draft.status, deliveries(), acts()) == (CampaignStatus.DRAFT, 0, [])


def test_mf7_sending_refuses_while_the_sender_is_not_named_in_full(draft, make_app):
    with make_app(base_url="https://news.example", sender_postal="").app_context():
        for at in (None, NOW + HOUR):
            with pytest.raises(SenderIncomplete):
                release_campaign(draft.id, at=at, now=NOW, actor="staff:1")
            db.session.rollback()


@pytest.mark.parametrize("at", [None, NOW + HOUR])
def test_mu1_and_mf8_what_has_errors_is_neither_sent_nor_scheduled(draft, at):
    draft.editions[0].body = "Hei {{ nimi }} ![](https://kirja.example/k.png)"
    db.session.flush()

    with pytest.raises(ChecksFailed) as refused:
        release_campaign(draft.id, at=at, now=NOW, actor="staff:1", typed=2)

    assert refused.value.values == {"id": draft.id, "codes": "alt_missing, placeholder"}
    assert deliveries() == 0


def test_warnings_do_not_stop_it(draft):
    draft.editions[0].body = "[Lue](http://kirja.example/)"
    db.session.flush()

    assert release_campaign(draft.id, at=None, now=NOW, actor="staff:1").status is CampaignStatus.SENDING


def test_nobody_is_no_audience(make_campaign):
    with pytest.raises(AudienceEmpty):
        release_campaign(make_campaign().id, at=None, now=NOW, actor="staff:1", typed=0)


# --- at its time -----------------------------------------------------------------------------------


def test_a_schedule_starts_at_its_time_and_not_before(scheduled):
    assert scheduled.status is CampaignStatus.SCHEDULED
    assert start_due(NOW + HOUR - timedelta(seconds=1)) == 0
    assert start_due(NOW + HOUR) == 1
    assert start_due(NOW + HOUR) == 0

    assert (scheduled.status, scheduled.started_at) == (CampaignStatus.SENDING, NOW + HOUR)
    assert acts() == [("staff:1", "campaign scheduled"), ("system", "campaign sent")]


def test_a_schedule_in_the_past_is_refused(draft):
    for at in (NOW, NOW - HOUR):
        with pytest.raises(SchedulePast):
            release_campaign(draft.id, at=at, now=NOW, actor="staff:1")


@pytest.mark.parametrize(
    ("late", "status", "reason"),
    [
        (timedelta(hours=2), CampaignStatus.SENDING, None),
        (timedelta(hours=2, seconds=1), CampaignStatus.SCHEDULED, HeldReason.LATE),
        (timedelta(days=40), CampaignStatus.SCHEDULED, HeldReason.LATE),
    ],
)
def test_a_schedule_found_more_than_two_hours_late_asks_instead(scheduled, late, status, reason):
    start_due(NOW + HOUR + late)
    start_due(NOW + HOUR + late)

    assert (scheduled.status, scheduled.held_reason) == (status, reason)
    assert deliveries() == (0 if reason else 2)


def test_a_held_schedule_can_be_sent_or_scheduled_anew_or_made_a_draft(scheduled, make_campaign):
    late = NOW + timedelta(days=1)
    start_due(late)

    release_campaign(scheduled.id, at=late + HOUR, now=late, actor="staff:2", typed=2)
    assert (scheduled.status, scheduled.held_reason) == (CampaignStatus.SCHEDULED, None)

    start_due(late + timedelta(days=1))
    assert scheduled.held_reason is HeldReason.LATE
    release_campaign(scheduled.id, at=None, now=late + timedelta(days=1), actor="staff:2", typed=2)
    assert (scheduled.status, scheduled.held_reason) == (CampaignStatus.SENDING, None)


def test_what_can_no_longer_be_sent_at_its_time_is_held_and_leaves_no_trace(scheduled):
    db.session.execute(
        sa.text("update subscriptions set status = :left"), {"left": SubscriptionStatus.UNSUBSCRIBED.value}
    )
    db.session.commit()

    start_due(NOW + HOUR)

    assert (scheduled.status, scheduled.held_reason) == (CampaignStatus.SCHEDULED, HeldReason.REFUSED)
    assert scheduled.started_at is None
    assert db.session.scalar(sa.text("select count(*) from links")) == 0
    assert acts()[-1] == ("system", "schedule held")


def test_a_schedule_that_is_not_held_is_not_sent_by_hand(scheduled):
    with pytest.raises(NotADraft):
        release_campaign(scheduled.id, at=None, now=NOW, actor="staff:1", typed=2)


def test_a_schedule_can_be_taken_back(scheduled):
    withdraw(scheduled.id, now=NOW, actor="staff:1")
    db.session.commit()

    assert (scheduled.status, scheduled.scheduled_at) == (CampaignStatus.DRAFT, None)
    assert start_due(NOW + HOUR) == 0
    with pytest.raises(NotScheduled):
        withdraw(scheduled.id, now=NOW, actor="staff:1")


@pytest.mark.parametrize(
    ("text", "fold", "moment"),
    [
        ("2027-03-28T04:00", None, datetime(2027, 3, 28, 1, 0, tzinfo=UTC)),
        ("2027-10-31T03:30", 0, datetime(2027, 10, 31, 0, 30, tzinfo=UTC)),
        ("2027-10-31T03:30", 1, datetime(2027, 10, 31, 1, 30, tzinfo=UTC)),
    ],
)
def test_on_both_changes_of_the_clock_it_starts_at_the_instant_meant(draft, text, fold, moment):
    release_campaign(draft.id, at=parse_local_time(text, fold=fold), now=NOW, actor="staff:1")
    db.session.commit()

    assert start_due(moment - timedelta(seconds=1)) == 0
    assert start_due(moment) == 1


def test_the_sweep_of_each_minute_starts_what_is_due(scheduled, app, clock):
    clock.shift(HOUR)

    on_its_own(app, sweep)

    db.session.refresh(scheduled)
    assert scheduled.status in {CampaignStatus.SENDING, CampaignStatus.SENT}


def test_until_idle_sends_what_is_due(scheduled, app, clock, outgoing):
    clock.shift(HOUR)

    on_its_own(app, work_until_idle)

    db.session.refresh(scheduled)
    assert (scheduled.status, scheduled.totals.accepted) == (CampaignStatus.SENT, 2)


# --- two people ------------------------------------------------------------------------------------


@pytest.fixture
def two(make_app, draft):
    """Work under the rule of two."""
    with make_app(second_person=True).app_context():
        yield get_campaign(draft.id)


def test_ss5_with_a_second_person_the_first_only_asks(two):
    release_campaign(two.id, at=None, now=NOW, actor="staff:1", typed=2)

    assert (two.status, two.proposed_by, deliveries()) == (CampaignStatus.DRAFT, "staff:1", 0)
    assert acts() == [("staff:1", "campaign proposed")]


def test_ss5_nobody_agrees_with_themselves(two):
    release_campaign(two.id, at=None, now=NOW, actor="staff:1", typed=2)

    with pytest.raises(SecondPersonNeeded):
        release_campaign(two.id, at=None, now=NOW, actor="staff:1", typed=2)

    assert deliveries() == 0


def test_ss5_a_program_may_ask_and_never_agrees(two):
    release_campaign(two.id, at=None, now=NOW, actor="token:1")

    with pytest.raises(SecondPersonNeeded):
        release_campaign(two.id, at=None, now=NOW, actor="token:2")

    assert (two.proposed_by, deliveries()) == ("token:1", 0)


def test_ss5_another_person_makes_it_happen_as_it_was_asked_for(two):
    release_campaign(two.id, at=NOW + HOUR, now=NOW, actor="staff:1", typed=2)

    release_campaign(two.id, at=None, now=NOW, actor="staff:2", typed=2)

    assert (two.status, two.scheduled_at) == (CampaignStatus.SCHEDULED, NOW + HOUR)
    assert acts() == [("staff:1", "campaign proposed"), ("staff:2", "campaign scheduled")]


def test_ss5_the_second_person_types_the_number_too(two):
    release_campaign(two.id, at=None, now=NOW, actor="staff:1", typed=2)

    with pytest.raises(CountDiffers):
        release_campaign(two.id, at=None, now=NOW, actor="staff:2", typed=1)


def test_a_request_can_be_taken_back(two):
    release_campaign(two.id, at=None, now=NOW, actor="staff:1", typed=2)

    withdraw(two.id, now=NOW, actor="staff:2")

    release_campaign(two.id, at=None, now=NOW, actor="staff:2", typed=2)
    assert (two.status, two.proposed_by) == (CampaignStatus.DRAFT, "staff:2")


# --- at the same time ------------------------------------------------------------------------------


def test_whoever_comes_second_sees_what_the_first_has_done(real_app, draft):
    seen = get_campaign(draft.id)
    db.session.commit()
    assert seen.status is CampaignStatus.DRAFT

    def first() -> None:
        release_campaign(draft.id, at=None, now=NOW, actor="staff:1", typed=2)
        db.session.commit()

    on_its_own(real_app, first)

    with pytest.raises(NotADraft):
        release_campaign(draft.id, at=NOW + HOUR, now=NOW, actor="staff:2", typed=2)
    db.session.rollback()
    assert deliveries() == 2


def test_two_workers_start_a_schedule_once(real_app, draft):
    release_campaign(draft.id, at=NOW + HOUR, now=NOW, actor="staff:1", typed=2)
    db.session.commit()

    started = [on_its_own(real_app, lambda: start_due(NOW + HOUR)) for _worker in range(2)]

    assert (started, deliveries()) == ([1, 0], 2)
