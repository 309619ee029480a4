"""The loader gives way to whoever waits for an answer, but not for ever."""

from pathlib import Path

import pytest

from newsletter.running.loader import MAX_BACKLOG_BYTES, MAX_REST, LoaderBackoff


class Told:
    """Stands for the event that ends a rest, and notes how long each was to be."""

    def __init__(self) -> None:
        self.rests: list[float] = []

    def wait(self, seconds: float) -> None:
        self.rests.append(seconds)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def courtesy(tmp_path: Path, told: Told) -> LoaderBackoff:
    (tmp_path / "spool").mkdir()
    return LoaderBackoff(tmp_path / "spool", told)  # type: ignore[arg-type] # as far as it is used


def test_after_a_step_it_rests_as_long_as_others_made_it_wait_and_more(courtesy, told):
    courtesy._wall -= 0.25

    courtesy.rest()

    assert told.rests[0] > 0.25


def test_no_rest_is_longer_than_a_second(courtesy, told):
    courtesy._wall -= 100

    courtesy.rest()

    assert told.rests == [MAX_REST]


def test_when_a_lot_has_gathered_it_no_longer_rests(courtesy, told, tmp_path):
    with (tmp_path / "spool" / "1.hits").open("wb") as file:
        file.truncate(MAX_BACKLOG_BYTES)
    courtesy._wall -= 100

    courtesy.rest()

    assert told.rests == []
