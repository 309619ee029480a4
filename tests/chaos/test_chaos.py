"""The short form of ``python -m tests.chaos``: real workers, killed at random moments."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.grounds import Ground, ground
from tests.chaos.run import Outcome, Story, play
from tests.support.disks import CannotMount

CONNECTIONS = 3


@pytest.fixture
def tell(engine, tmp_path) -> Callable[..., Outcome]:
    """Play a story on a database."""

    def tell(found: Ground, **story: object) -> Outcome:
        workers = 3 if engine == "postgresql" else 1
        told = {"ground": found, "workers": workers, "connections": CONNECTIONS, "seconds": 90} | story
        return play(Story(**told), tmp_path)  # type: ignore[arg-type] # as each test says

    return tell


@pytest.fixture
def calm(fresh_database, tmp_path) -> Ground:
    """A database that nothing happens to."""
    return Ground(fresh_database.render_as_string(hide_password=False), Path(tmp_path) / "instance")


def hold_nothing_is_lost(outcome: Outcome) -> None:
    """Nobody lost, nobody doubled, and no more in doubt than one for each connection and kill."""
    assert (outcome.campaign, outcome.lost, outcome.doubled, outcome.is_true) == ("sent", [], [], True)
    assert outcome.uncertain <= outcome.kills * CONNECTIONS


def test_killed_workers_lose_nothing_and_double_nothing(tell, calm):
    outcome = tell(calm, recipients=300, kills=3)

    hold_nothing_is_lost(outcome)
    assert set(outcome.states) <= {"accepted", "uncertain"}


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_server_that_refuses_greylists_and_hangs_up_leaves_no_doubt(tell, calm):
    outcome = tell(calm, recipients=150, kills=1, mode="refuse,greylist,close")

    hold_nothing_is_lost(outcome)
    assert outcome.states["failed"] + outcome.uncertain >= 15  # every tenth address is nobody's


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_server_that_drops_and_stalls_loses_nothing_and_doubles_nothing(tell, calm):
    outcome = tell(calm, recipients=150, kills=1, mode="drop,stall")

    assert (outcome.campaign, outcome.lost, outcome.doubled, outcome.is_true) == ("sent", [], [], True)
    assert set(outcome.states) <= {"accepted", "uncertain"}


@pytest.mark.parametrize("mode", ["away", "full"])
def test_a_database_that_goes_away_or_is_full_loses_nothing_and_doubles_nothing(tell, engine, mode):
    try:
        with ground(engine, mode, 400) as found:
            # Not too fast, so that there is something left to be done meanwhile.
            outcome = tell(found, recipients=400, kills=1, troubles=2, mode=mode, rate=100)
    except CannotMount as error:
        pytest.skip(f"A disk that can be full cannot be mounted here: {error}")

    hold_nothing_is_lost(outcome)
    assert mode == "full" or outcome.outages > 0  # on a full disk what is there may be written anew
