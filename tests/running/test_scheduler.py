"""A worker goes by its own clock, and one stuck job takes no more than its own place."""

import threading
import time
from datetime import timedelta

import pytest

from newsletter.running.jobs import Job
from newsletter.running.scheduler import Scheduler

pytestmark = pytest.mark.parametrize("engine", ["sqlite"])


@pytest.fixture
def start(real_app):
    """Start a scheduler with a short pause, and stop it in the end."""
    started = []

    def begin(*jobs: Job) -> Scheduler:
        started.append(Scheduler(real_app, jobs, pause=0.01))
        started[-1].start()
        return started[-1]

    yield begin
    for scheduler in started:
        scheduler.tell()
        scheduler.join(10)


def soon(is_so) -> bool:
    deadline = time.monotonic() + 10
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.01)
    return is_so()


def test_a_stuck_job_leaves_its_lane_to_another_thread(start):
    over, ran, begun = threading.Event(), threading.Event(), []

    def hang():
        begun.append(1)
        over.wait(30)

    start(Job("stuck", hang, budget=timedelta(seconds=0.05)), Job("behind it", ran.set))
    was_run = soon(ran.is_set)
    over.set()

    assert (was_run, begun) == (True, [1])


def test_a_job_of_another_lane_waits_for_none(start):
    over, ran = threading.Event(), threading.Event()

    start(Job("long", lambda: over.wait(30), lane="long"), Job("short", ran.set))
    was_run = soon(ran.is_set)
    over.set()

    assert was_run


def test_without_the_database_it_tries_again(start, real_app, monkeypatch):
    ran = []
    path = real_app.config["NEWSLETTER"].instance_path
    real, away = path / "newsletter.db", path / "newsletter.db.away"
    real.rename(away)
    real.mkdir()

    start(Job("counted", lambda: ran.append(1)))
    time.sleep(0.1)
    before = list(ran)
    real.rmdir()
    away.rename(real)

    assert (before, soon(lambda: bool(ran))) == ([], True)


def test_it_ends_when_told(start):
    scheduler = start(Job("counted", lambda: None))

    scheduler.tell()
    scheduler.join(10)

    assert not any(lane.is_alive() for lane in scheduler._lanes)
