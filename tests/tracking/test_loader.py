"""From the spool to the tables: each hit once, and only of people who allow it now."""

import tracemalloc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import CampaignTotals
from newsletter.db import db
from newsletter.durable.log_loader import SpoolOffset
from newsletter.stats.rollups.ingest import load_local_logs, store_hits
from newsletter.subscribers.models import TrackingState
from newsletter.tracking.classify import RULES_VERSION
from newsletter.tracking.hit_log import HitLog
from newsletter.tracking.loader import BATCH_BYTES, Hit, load
from newsletter.tracking.models import Event, EventKind, MachineClass
from tests.support.clock import NOW
from tests.tracking.hits import APPLE, LATER, THUNDERBIRD, hit_line, load_hits, spool_folder, spool_hits

GRANTED = TrackingState.GRANTED


@pytest.fixture
def reader(make_subscriber):
    """Someone who allows measuring."""
    return make_subscriber(tracking=GRANTED)


@pytest.fixture
def edition(send, reader) -> int:
    """The edition that the reader got."""
    return int(send(reader.subscriptions[0].mailing_list).editions[0].id)


@pytest.fixture
def counted(app):
    """Read how many raw records there are, and how many opens and clicks the totals know of."""

    def counted() -> tuple[int, int, int]:
        totals = db.session.scalars(sa.select(CampaignTotals).execution_options(populate_existing=True)).one()
        rows = db.session.scalar(sa.select(sa.func.count()).select_from(Event)) or 0
        opens, clicks = totals.opens_human + totals.opens_machine, totals.clicks_human + totals.clicks_machine
        return rows, opens, clicks

    return counted


# --- what is stored --------------------------------------------------------------------------------


def test_a_hit_is_stored_as_it_happened(app, reader, edition):
    at = NOW + timedelta(seconds=90, milliseconds=250)
    spool_hits(app, hit_line(edition, reader.id, 1, at=at, ip="2001:db8::1", agent="Ä-posti ✉"))

    loaded = load_hits(app)

    (event,) = db.session.scalars(sa.select(Event))
    assert (loaded, event.at, event.kind, event.link_number) == (1, at, EventKind.CLICK, 1)
    assert (event.ip, event.user_agent, event.machine_class, event.rules_version) == (
        "2001:db8::1", "Ä-posti ✉", MachineClass.HUMAN, RULES_VERSION,
    )  # fmt: skip


def test_opens_and_clicks_of_people_and_machines_are_told_apart(app, reader, edition):
    spool_hits(
        app,
        hit_line(edition, reader.id),
        hit_line(edition, reader.id, agent=APPLE),
        hit_line(edition, reader.id, 1, agent=APPLE),
    )

    load_hits(app)

    rows = db.session.execute(sa.select(Event.kind, Event.machine_class).order_by(Event.id))
    assert [tuple(row) for row in rows] == [
        (EventKind.OPEN, MachineClass.HUMAN),
        (EventKind.OPEN, MachineClass.APPLE_SUSPECTED),
        (EventKind.CLICK, MachineClass.APPLE_SUSPECTED),
    ]


# --- each once -------------------------------------------------------------------------------------


def test_what_has_been_loaded_is_not_loaded_again(app, reader, edition, counted):
    spool_hits(app, hit_line(edition, reader.id), hit_line(edition, reader.id, 1))

    loaded = [load_hits(app), load_hits(app)]

    assert (loaded, counted()) == ([2, 0], (2, 1, 1))


def test_a_finished_file_is_removed_and_forgotten(app, reader, edition):
    spool_hits(app, hit_line(edition, reader.id))

    load_hits(app)

    assert list(spool_folder(app).glob("*.hits")) == []
    assert db.session.scalars(sa.select(SpoolOffset)).all() == []


def test_a_file_still_written_to_is_read_from_where_it_was_left(app, reader, edition, counted):
    spool = HitLog(spool_folder(app))
    loaded = []
    for _time in range(3):
        spool.append(hit_line(edition, reader.id))
        loaded.append(load_hits(app))
    spool.close()
    loaded.append(load_hits(app))

    assert (loaded, counted()) == ([1, 1, 1, 0], (3, 3, 0))
    assert list(spool_folder(app).glob("*.hits")) == []


def test_half_a_line_waits_for_its_other_half(app, reader, edition, counted):
    line = hit_line(edition, reader.id)
    spool = HitLog(spool_folder(app))
    spool.append(hit_line(edition, reader.id) + line[:30])

    half = load_hits(app)
    spool.append(line[30:])
    spool.close()

    assert (half, load_hits(app), counted()) == (1, 1, (2, 2, 0))


@pytest.mark.parametrize(
    "torn",
    [b"[17725302", b"", b"{}", b"[1]", b"null", b"\xff\xfe\0", b"\0" * 50, b'[1,"sale",1,1,null,"",""]'],
)
def test_a_torn_line_is_left_out_and_spoils_no_other(app, reader, edition, counted, torn):
    spool_hits(app, hit_line(edition, reader.id), torn + b"\n", hit_line(edition, reader.id, 1))

    loaded = load_hits(app)

    assert (loaded, counted()) == (2, (2, 1, 1))


class Killed(BaseException):
    """The loader ends here, as if by a signal."""


@pytest.mark.parametrize("survives", [0, 1])
def test_a_loader_killed_between_two_steps_goes_on_where_it_was(app, reader, edition, counted, survives):
    line = hit_line(edition, reader.id, agent="x" * 390)
    hits = 2 * BATCH_BYTES // len(line)
    spool_hits(app, line * hits)
    steps = iter(range(10))

    def store_until_killed(some: Sequence[Hit]) -> None:
        store_hits(some)
        if next(steps) == survives:
            raise Killed

    with pytest.raises(Killed):
        load(spool_folder(app), store=store_until_killed)
    db.session.rollback()
    before = counted()[0]
    load_hits(app)

    assert (before > 0, counted()) == (bool(survives), (hits, hits, 0))


def test_two_loaders_at_once_load_each_hit_once(real_app, make_subscriber, send, counted):
    reader = make_subscriber(tracking=GRANTED)
    edition = send(reader.subscriptions[0].mailing_list).editions[0].id
    for _file in range(4):
        spool_hits(real_app, *[hit_line(edition, reader.id)] * 50)
    db.session.rollback()

    def run() -> int:
        with real_app.app_context():
            return load_local_logs()

    with ThreadPoolExecutor(2) as pool:
        loaded = [found.result() for found in [pool.submit(run), pool.submit(run)]]

    assert (sum(loaded), counted()) == (200, (200, 200, 0))


def test_while_it_rests_between_steps_another_loads_the_rest(app, reader, edition, counted):
    """An erasure must not wait for a loader that gives way to the pages."""
    line = hit_line(edition, reader.id, agent="x" * 390)
    hits = 2 * BATCH_BYTES // len(line)
    spool_hits(app, line * hits)
    others: list[int] = []

    def rest() -> None:
        if not others:
            others.append(load(spool_folder(app), store=store_hits))

    loaded = load(spool_folder(app), store=store_hits, rest=rest)

    assert (loaded + others[0], counted()) == (hits, (hits, hits, 0))
    assert min(loaded, others[0]) > 0


def test_an_empty_spool_is_nothing_to_do(app):
    assert load_hits(app) == 0


# --- only who allows it ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "kept"),
    [
        ("consent", {"granted"}),
        ("notice", {"unknown", "granted"}),
        ("aggregate", {"granted"}),
        ("off", set()),
    ],
)
def test_who_is_recorded_depends_on_what_they_said_and_on_the_mode(
    make_app, make_subscriber, edition, mode, kept
):
    people = {make_subscriber(tracking=state).id: state.value for state in TrackingState}
    app = make_app(tracking=mode)
    spool_hits(app, *[hit_line(edition, subscriber_id) for subscriber_id in people])

    load_hits(app)

    assert {
        people[subscriber_id] for subscriber_id in db.session.scalars(sa.select(Event.subscriber_id))
    } == kept


def test_a_withdrawal_works_for_mails_already_sent(app, reader, edition, counted):
    spool_hits(app, hit_line(edition, reader.id))
    load_hits(app)

    reader.tracking = TrackingState.REFUSED
    spool_hits(app, hit_line(edition, reader.id), hit_line(edition, reader.id, 1))
    load_hits(app)

    assert counted() == (1, 1, 0)


def test_rd7_whose_processing_is_restricted_is_not_recorded(app, reader, edition, counted, now):
    reader.restricted_at = now
    spool_hits(app, hit_line(edition, reader.id))

    load_hits(app)

    assert counted() == (0, 0, 0)


def test_nobody_and_nothing_known_is_not_recorded(app, reader, edition, counted):
    spool_hits(
        app, hit_line(edition, reader.id + 1000), hit_line(edition + 1000, reader.id), hit_line(edition, 0)
    )

    load_hits(app)

    assert counted() == (0, 0, 0)


def test_in_aggregate_those_who_said_nothing_are_only_counted(make_app, reader, edition, counted):
    app = make_app(tracking="aggregate")
    spool_hits(app, hit_line(edition, 0), hit_line(edition, 0, 1), hit_line(edition, 0, agent=APPLE))

    load_hits(app)

    assert counted() == (0, 2, 1)


def test_the_log_names_nobody(app, reader, edition, caplog):
    spool_hits(app, b"torn\n", hit_line(edition, reader.id, ip="203.0.113.7", agent=THUNDERBIRD))

    load_hits(app)

    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "unreadable hit"
    ]
    assert "203.0.113.7" not in caplog.text


@pytest.mark.parametrize("engine", ["sqlite"])
def test_hours_of_hits_are_loaded_in_bounded_memory(app, tmp_path):
    """The database was away: what has gathered meanwhile must not have to fit into memory."""
    spool, seen = HitLog(tmp_path / "spool"), []
    line = hit_line(1, 1)
    for _file in range(2):
        spool.append(line * 60_000)
        spool.close()

    tracemalloc.start()
    try:
        loaded = load(tmp_path / "spool", store=lambda hits: seen.append(len(hits)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert (loaded, sum(seen)) == (120_000, 120_000)
    assert peak < 12_000_000 < 120_000 * len(line)


def test_what_no_database_can_hold_does_not_hold_up_the_rest(app, reader, edition, counted):
    spool_hits(app, hit_line(edition, reader.id, agent="a\0b", ip="\0"), hit_line(edition, reader.id))

    load_hits(app)

    assert counted() == (2, 2, 0)


def test_tr4_what_was_fetched_while_it_was_not_allowed_stays_out_when_it_is_again(
    app, reader, edition, counted
):
    reader.tracking_chosen_at = LATER + timedelta(minutes=1)
    spool_hits(
        app, hit_line(edition, reader.id), hit_line(edition, reader.id, at=LATER + timedelta(minutes=2))
    )

    load_hits(app)

    assert counted() == (1, 1, 0)
