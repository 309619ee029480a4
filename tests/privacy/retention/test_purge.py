"""RP-1, RP-2, RP-3: the January purge: its month, who goes and who stays."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import CampaignTotals
from newsletter.db import db
from newsletter.privacy.models import PurgeRun
from newsletter.privacy.retention.purge import NotJanuary, run_purge
from newsletter.privacy.retention.purge_selection import preview_purge
from newsletter.sending.models import Delivery
from newsletter.subscribers.models import Subscriber, TrackingState
from newsletter.tracking.models import Event, LinkReader
from tests.privacy.purging import DUE, LEFT, PENDING, addresses, event_row, event_times, report
from tests.tracking.hits import hit_line, load_hits, spool_hits

# --- its month -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "now",
    [
        datetime(2026, 12, 31, 21, 30, tzinfo=UTC),  # 23.30 on New Year's Eve in Helsinki
        datetime(2027, 1, 31, 22, 30, tzinfo=UTC),  # 0.30 on 1 February
        datetime(2027, 7, 1, 12, 0, tzinfo=UTC),
    ],
)
def test_outside_january_it_refuses(make_subscriber, now):
    make_subscriber("eero@example.com", status=LEFT)

    with pytest.raises(NotJanuary) as refused:
        run_purge(now=now, actor="console")

    assert str(refused.value) == "The purge runs in January. Say --any-day to run it today."
    assert addresses() == ["eero@example.com"]
    assert db.session.scalars(sa.select(PurgeRun)).all() == []


@pytest.mark.parametrize(
    "now",
    [
        datetime(2026, 12, 31, 22, 30, tzinfo=UTC),  # 0.30 on New Year's Day in Helsinki
        datetime(2027, 1, 31, 21, 30, tzinfo=UTC),  # 23.30 on 31 January
    ],
)
@pytest.mark.parametrize("engine", ["sqlite"])
def test_january_is_that_of_the_business(real_app, make_subscriber, now):
    make_subscriber(status=LEFT)

    run_purge(now=now, actor="console")

    assert addresses() == []


@pytest.mark.parametrize("engine", ["sqlite"])
def test_it_runs_on_any_day_when_told_to(real_app, make_subscriber, now):
    make_subscriber(status=LEFT)

    run_purge(now=now + timedelta(days=1), actor="console", any_day=True)

    assert addresses() == []


# --- who goes --------------------------------------------------------------------------------------


def test_who_left_goes_and_who_is_still_here_stays(real_app, make_list, make_subscriber):
    fi, en = make_list(), make_list()
    make_subscriber("aino@example.com", [fi])
    make_subscriber("eero@example.com", [fi, en], status=LEFT)
    make_subscriber("iines@example.com", [fi], status=PENDING)
    make_subscriber("oiva@example.com", [fi], status=LEFT, restricted_at=DUE)
    half = make_subscriber("ulla@example.com", [fi, en])
    half.subscriptions[0].status, half.subscriptions[0].unsubscribed_at = LEFT, half.created_at
    db.session.commit()

    run_purge(now=DUE, actor="console")

    assert addresses() == ["aino@example.com", "iines@example.com", "oiva@example.com", "ulla@example.com"]


def test_who_leaves_once_it_has_started_stays_for_the_next(real_app, make_subscriber):
    for address, gone in (("eero@example.com", DUE - timedelta(seconds=1)), ("vilho@example.com", DUE)):
        make_subscriber(address, status=LEFT).subscriptions[0].unsubscribed_at = gone
    db.session.commit()

    run_purge(now=DUE, actor="console")

    assert addresses() == ["vilho@example.com"]


def test_who_has_asked_to_come_back_stays(real_app, make_subscriber, finnish, sign_up, now):
    make_subscriber("eero@example.com", [finnish], status=LEFT)
    sign_up("eero@example.com")

    run_purge(now=now + timedelta(days=1), actor="console", any_day=True)

    assert addresses() == ["eero@example.com"]


def test_everything_of_who_left_goes_and_the_totals_stay(
    real_app, make_list, make_subscriber, send, make_event
):
    fi = make_list()
    stays, goes = (make_subscriber(lists=[fi], tracking=TrackingState.GRANTED) for _person in range(2))
    campaign = send(fi)
    edition = campaign.editions[0].id
    spool_hits(
        real_app, *[hit_line(edition, who.id, number) for who in (stays, goes) for number in (None, 1)]
    )
    load_hits(real_app)
    goes.subscriptions[0].status, goes.subscriptions[0].unsubscribed_at = LEFT, goes.created_at
    make_event(DUE - timedelta(days=1), goes.id)
    left_behind = [stays.id]

    counts = run_purge(now=DUE, actor="console")

    assert counts == report(people=1, subscriptions=1, deliveries=1, events=5, link_readers=2)
    assert db.session.scalars(sa.select(Subscriber.id)).all() == left_behind
    assert db.session.scalars(sa.select(Delivery.subscriber_id)).all() == left_behind
    assert set(db.session.scalars(sa.select(LinkReader.subscriber_id))) <= set(left_behind)
    totals = db.session.get_one(CampaignTotals, campaign.id, populate_existing=True)
    assert (totals.recipients, totals.accepted, totals.opens_unique, totals.clicks_unique) == (2, 2, 2, 2)


# --- raw records -----------------------------------------------------------------------------------


def test_raw_records_of_past_years_go(real_app, make_event):
    new_year = datetime(2026, 12, 31, 22, 0, tzinfo=UTC)  # in Helsinki
    for at in (datetime(2025, 6, 1, tzinfo=UTC), new_year - timedelta(seconds=1), new_year, DUE):
        make_event(at)

    counts = run_purge(now=DUE, actor="console")

    assert (counts["events"], event_times()) == (2, [new_year, DUE])


@pytest.mark.parametrize("engine", ["sqlite"])
def test_raw_records_of_past_years_go_in_whatever_order_they_came(real_app):
    """A web machine that was away over New Year brings its December after the others' January."""
    order = [DUE - timedelta(days=1)] + [DUE - timedelta(days=30)] * 20_000
    db.session.execute(sa.insert(Event), [event_row(at) for at in order])
    db.session.commit()

    run_purge(now=DUE, actor="console")

    assert event_times() == [DUE - timedelta(days=1)]


@pytest.mark.parametrize("engine", ["sqlite"])
def test_raw_records_still_in_the_spool_go_too(real_app, make_subscriber, send):
    reader = make_subscriber(tracking=TrackingState.GRANTED)
    campaign = send(reader.subscriptions[0].mailing_list)
    spool_hits(real_app, hit_line(campaign.editions[0].id, reader.id, at=DUE - timedelta(days=30)))

    run_purge(now=DUE, actor="console")
    load_hits(real_app)

    assert event_times() == []
    assert db.session.get_one(CampaignTotals, campaign.id, populate_existing=True).opens_unique == 1


@pytest.mark.parametrize("engine", ["sqlite"])
def test_nothing_is_left_that_tells_who_read_what_last_year(real_app, make_subscriber, send):
    """The notice promises that opens and clicks go in the January after they were recorded."""
    reader = make_subscriber(tracking=TrackingState.GRANTED)
    campaign = send(reader.subscriptions[0].mailing_list)
    spool_hits(real_app, *[hit_line(campaign.editions[0].id, reader.id, number) for number in (None, 1)])
    load_hits(real_app)

    run_purge(now=DUE, actor="console")

    row = db.session.get_one(Delivery, (campaign.id, reader.id), populate_existing=True)
    assert (row.first_open_at, row.first_click_at) == (None, None)
    assert db.session.scalars(sa.select(LinkReader.subscriber_id)).all() == []


# --- the dry run -----------------------------------------------------------------------------------


def test_the_dry_run_counts_what_the_run_deletes(real_app, make_list, make_subscriber, send, make_event):
    fi = make_list()
    readers = [make_subscriber(lists=[fi], tracking=TrackingState.GRANTED) for _person in range(4)]
    send(fi)
    send(fi)
    for reader, days in (
        (readers[0], 400),
        (readers[0], 1),
        (readers[1], 30),
        (readers[1], 2),
        (readers[2], 3),
    ):
        make_event(DUE - timedelta(days=days), reader.id)
    for goes in (readers[0], readers[3]):
        goes.subscriptions[0].status, goes.subscriptions[0].unsubscribed_at = LEFT, goes.created_at
    make_subscriber(status=PENDING)
    make_subscriber(status=LEFT, restricted_at=DUE)

    foreseen = preview_purge(DUE)
    still_there = len(addresses())
    done = run_purge(now=DUE, actor="console")

    assert (foreseen, still_there) == (done, 6)
    assert done == report(people=2, subscriptions=2, deliveries=4, events=3)


# --- the file --------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["sqlite"])
def test_the_file_gives_its_free_pages_back(real_app):
    db.session.execute(sa.insert(Event), [event_row(DUE - timedelta(days=30))] * 5000)
    db.session.commit()

    run_purge(now=DUE, actor="console")

    with db.engine.connect() as connection:
        assert connection.scalar(sa.text("PRAGMA freelist_count")) == 0
