"""Who holds which delivery, and what becomes of it when its holder dies."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.db.leases import LEASE_DURATION, owner
from newsletter.mail.smtp.transport import Reply
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.worker import deliver
from newsletter.sending.worker.leasing import lease_batch, release_expired, release_leases
from newsletter.sending.worker.record import record_and_claim
from newsletter.subscribers.models import TrackingState


def nobody_of_this_machine() -> str:
    host, _pid, _started = owner().rsplit(":", 2)
    return f"{host}:999999999:1"  # no kernel counts that far


def reused_number() -> str:
    host, pid, started = owner().rsplit(":", 2)
    return f"{host}:{pid}:{int(started or 0) - 1}"  # of this process's number, but started before it


def container_before() -> str:
    return f"other-{owner().rsplit(':', 2)[0].rpartition('-')[2]}:1:1"  # the same machine by another name


def another_machine() -> str:
    return "other-1234abcd:1:1"


@pytest.fixture
def hold(app, now):
    """Let a worker hold every delivery, in a status, until a moment."""

    def hold(holder: str, status: DeliveryStatus = DeliveryStatus.QUEUED, until=None) -> None:
        held = {"leased_by": holder, "leased_until": until or now + LEASE_DURATION, "status": status}
        db.session.execute(sa.update(Delivery).values(held))
        db.session.commit()

    return hold


def people(leased) -> list[int]:
    return [row.subscriber_id for row in leased or []]


# --- leasing ---------------------------------------------------------------------------------------


def test_a_worker_leases_five_hundred_at_a_time_and_nobody_leases_them_again(
    start, make_list, make_readers, now
):
    fi = make_list()
    make_readers(fi, 530)
    campaign = start([fi])

    leased = [people(lease_batch(campaign.id, now)) for _time in range(3)]

    assert [len(found) for found in leased] == [500, 30, 0]
    assert not set(leased[0]) & set(leased[1])


def test_what_is_not_due_is_not_leased(start, make_list, make_subscriber, now):
    fi = make_list()
    reader = make_subscriber(lists=[fi])
    campaign = start([fi])
    row = db.session.get_one(Delivery, (campaign.id, reader.id))
    row.status, row.due_at = DeliveryStatus.DEFERRED, now + timedelta(minutes=5)
    db.session.commit()

    leased = [people(lease_batch(campaign.id, now + timedelta(minutes=minutes))) for minutes in (4, 5)]

    assert leased == [[], [reader.id]]


def test_what_is_given_back_can_be_leased_again(start, make_list, make_subscriber, now):
    fi = make_list()
    reader = make_subscriber(lists=[fi])
    campaign = start([fi])

    lease_batch(campaign.id, now)
    release_leases(campaign.id)

    assert people(lease_batch(campaign.id, now)) == [reader.id]


def test_a_delivery_held_by_another_is_not_marked(start, make_list, make_subscriber, hold, statuses, now):
    fi = make_list()
    reader = make_subscriber("aino@example.com", [fi])
    campaign = start([fi])
    hold(another_machine())

    claimed = record_and_claim(campaign.id, [], [reader.id], now)

    assert (claimed, statuses(campaign)) == ({}, {"aino@example.com": "queued"})


def test_a_delivery_is_marked_once(start, make_list, make_subscriber, now):
    fi = make_list()
    reader = make_subscriber("aino@example.com", [fi], tracking=TrackingState.GRANTED)
    campaign = start([fi])
    lease_batch(campaign.id, now)

    marked, again = [record_and_claim(campaign.id, [], [reader.id], now) for _time in range(2)]

    claimed = marked[reader.id]
    assert (claimed.address, claimed.attempts, claimed.is_measured, again) == (
        "aino@example.com",
        1,
        True,
        {},
    )


# --- dead workers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", [nobody_of_this_machine, reused_number])
def test_what_a_dead_worker_had_leased_is_taken_back_at_once(
    start, make_list, make_readers, hold, send_due, outcome, now, holder
):
    fi = make_list()
    make_readers(fi, 2)
    campaign = start([fi])
    hold(holder())

    release_expired(campaign.id, now)
    send_due()

    assert outcome(campaign) == {"accepted": 2}


@pytest.mark.parametrize("holder", [nobody_of_this_machine, reused_number])
def test_what_was_in_flight_when_a_worker_died_is_uncertain_and_never_sent_again(
    start, make_list, make_readers, hold, send_due, outgoing, outcome, now, holder
):
    fi = make_list()
    make_readers(fi, 2)
    campaign = start([fi])
    hold(holder(), DeliveryStatus.SENDING)

    settled = [release_expired(campaign.id, now), release_expired(campaign.id, now)]
    send_due()

    assert (settled, outcome(campaign), outgoing.all) == ([2, 0], {"uncertain": 2}, [])


@pytest.mark.parametrize("holder", [owner, another_machine])
@pytest.mark.parametrize("status", [DeliveryStatus.QUEUED, DeliveryStatus.SENDING])
def test_what_a_living_worker_holds_is_left_to_it(
    start, make_list, make_readers, hold, outcome, now, holder, status
):
    fi = make_list()
    make_readers(fi, 1)
    campaign = start([fi])
    hold(holder(), status)

    release_expired(campaign.id, now + LEASE_DURATION - timedelta(seconds=1))

    assert outcome(campaign) == {status.value: 1}
    assert db.session.scalars(sa.select(Delivery.leased_by)).all() == [holder()]


@pytest.mark.parametrize(
    ("engine", "holder", "status", "then"),
    [
        ("postgresql", another_machine, DeliveryStatus.QUEUED, "queued"),
        ("postgresql", another_machine, DeliveryStatus.SENDING, "uncertain"),
        # On SQLite that is this machine before it was started anew: marks may be missing.
        ("sqlite", another_machine, DeliveryStatus.QUEUED, "uncertain"),
        ("sqlite", another_machine, DeliveryStatus.SENDING, "uncertain"),
        ("sqlite", container_before, DeliveryStatus.QUEUED, "queued"),
        ("sqlite", container_before, DeliveryStatus.SENDING, "uncertain"),
    ],
    indirect=["engine"],
)
def test_a_worker_of_another_machine_is_given_up_when_its_lease_ends(
    start, make_list, make_readers, hold, outcome, now, holder, status, then
):
    fi = make_list()
    make_readers(fi, 1)
    campaign = start([fi])
    hold(holder(), status)

    release_expired(campaign.id, now + LEASE_DURATION)

    assert outcome(campaign) == {then: 1}
    assert db.session.scalars(sa.select(Delivery.leased_by)).all() == [None]


def test_the_sweep_settles_every_campaign_on_its_way(start, make_list, make_readers, hold, outcome):
    fi = make_list()
    make_readers(fi, 1)
    campaigns = [start([fi]), start([fi])]
    hold(nobody_of_this_machine(), DeliveryStatus.SENDING)

    deliver.recover_abandoned()

    assert [outcome(campaign) for campaign in campaigns] == [{"uncertain": 1}, {"uncertain": 1}]


# --- answers that come late ------------------------------------------------------------------------


@pytest.fixture
def give_up_one(start, make_list, make_subscriber, now):
    """Hand one mail over, and let its lease end before the answer is there."""
    fi = make_list()
    make_subscriber(lists=[fi])
    campaign = start([fi])
    (subscriber_id,) = people(lease_batch(campaign.id, now))
    claimed = record_and_claim(campaign.id, [], [subscriber_id], now)
    release_expired(campaign.id, now + LEASE_DURATION)
    return campaign, claimed[subscriber_id]


@pytest.mark.parametrize(
    ("reply", "then"),
    [
        (Reply(250), "accepted"),
        (Reply(550), "failed"),
        (Reply(451), "deferred"),
        (Reply(0, is_uncertain=True), "uncertain"),
    ],
)
def test_an_answer_that_comes_after_the_lease_is_counted_once(give_up_one, outcome, now, reply, then):
    campaign, claimed = give_up_one

    record_and_claim(campaign.id, [(claimed, reply)], [], now + LEASE_DURATION)
    record_and_claim(campaign.id, [(claimed, reply)], [], now + LEASE_DURATION)

    assert outcome(campaign) == {then: 1}


def test_an_answer_to_an_earlier_try_is_not_taken_for_one_to_this(give_up_one, outcome, now):
    campaign, claimed = give_up_one
    later = {"status": DeliveryStatus.SENDING, "attempts": 2, "leased_by": owner()}
    db.session.execute(sa.update(Delivery).values(later))
    db.session.commit()

    record_and_claim(campaign.id, [(claimed, Reply(250))], [], now + LEASE_DURATION)

    db.session.refresh(campaign.totals)
    assert db.session.scalars(sa.select(Delivery.status)).all() == [DeliveryStatus.SENDING]
    assert campaign.totals.accepted == 0
