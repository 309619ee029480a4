"""The short form of ``python -m tests.chaos``: real workers, killed at random moments."""

import pytest

from tests.chaos.run import Story, play


@pytest.mark.parametrize("workers", [1])
def test_killed_workers_lose_nothing_and_double_nothing(fresh_database, engine, tmp_path, workers):
    story = Story(
        database_url=fresh_database.render_as_string(hide_password=False),
        recipients=300,
        kills=3,
        workers=3 if engine == "postgresql" else 1,
        connections=3,
        seconds=90,
    )

    outcome = play(story, tmp_path)

    assert (outcome.lost, outcome.doubled, outcome.is_true) == ([], [], True)
    assert set(outcome.states) <= {"accepted", "uncertain"}
    assert outcome.uncertain <= outcome.kills * story.connections


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_server_that_refuses_greylists_and_hangs_up_leaves_no_doubt(fresh_database, tmp_path):
    url = fresh_database.render_as_string(hide_password=False)
    story = Story(
        database_url=url, recipients=150, kills=1, mode="refuse,greylist,close", connections=3, seconds=90
    )

    outcome = play(story, tmp_path)

    assert (outcome.lost, outcome.doubled, outcome.is_true) == ([], [], True)
    assert not {"queued", "sending", "deferred"} & set(outcome.states)
    assert outcome.uncertain <= outcome.kills * story.connections
    assert outcome.states["failed"] + outcome.uncertain >= 15  # every tenth address is nobody's


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_server_that_drops_and_stalls_loses_nothing_and_doubles_nothing(fresh_database, tmp_path):
    url = fresh_database.render_as_string(hide_password=False)
    story = Story(database_url=url, recipients=150, kills=1, mode="drop,stall", connections=3, seconds=90)

    outcome = play(story, tmp_path)

    assert (outcome.lost, outcome.doubled, outcome.is_true) == ([], [], True)
    assert set(outcome.states) <= {"accepted", "uncertain"}
