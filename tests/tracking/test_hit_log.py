"""The spool: what append has taken stands in a file, whoever dies, however full the disk."""

import os
import resource
import time

import pytest

from newsletter.durable.log_loader import is_finished
from newsletter.tracking.hit_log import HitLog


@pytest.fixture
def spool(tmp_path):
    made = HitLog(tmp_path / "spool")
    yield made
    made.close()


@pytest.fixture
def read(tmp_path):
    """Read every file of the spool, in the order in which they were begun."""

    def read() -> list[bytes]:
        return [path.read_bytes() for path in sorted((tmp_path / "spool").iterdir())]

    return read


@pytest.fixture
def finished(tmp_path):
    """Tell of each file whether its writer has let go of it."""

    def finished() -> list[bool]:
        found = []
        for path in sorted((tmp_path / "spool").iterdir()):
            with path.open("rb") as file:
                found.append(is_finished(file.fileno()))
        return found

    return finished


def test_a_line_is_in_the_file_when_append_returns(spool, read):
    taken = [spool.append(b"yksi\n"), spool.append(b"kaksi\n")]

    assert (taken, read()) == ([True, True], [b"yksi\nkaksi\n"])


def test_the_writer_holds_its_file_until_it_closes_it(spool, finished):
    spool.append(b"yksi\n")
    while_open = finished()
    spool.close()

    assert (while_open, finished()) == ([False], [True])


def test_a_file_is_let_go_of_at_once_though_it_is_still_being_flushed(spool, finished):
    """A flush under way in the other thread keeps the file open, as a second number of it does here."""
    spool.append(b"yksi\n")
    flushing = os.dup(spool._file)

    spool.close()

    assert finished() == [True]
    os.close(flushing)


def test_only_its_owner_can_read_a_file(spool, tmp_path):
    spool.append(b"yksi\n")

    (path,) = (tmp_path / "spool").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


def test_after_closing_a_new_file_begins(spool, read):
    spool.append(b"yksi\n")
    spool.close()
    spool.append(b"kaksi\n")

    assert read() == [b"yksi\n", b"kaksi\n"]


def test_two_writers_never_share_a_file(spool, tmp_path, read):
    other = HitLog(tmp_path / "spool")

    spool.append(b"yksi\n")
    other.append(b"kaksi\n")
    other.close()

    assert read() == [b"yksi\n", b"kaksi\n"]


def test_a_file_is_let_go_of_after_half_a_minute(spool, read, finished):
    spool.append(b"yksi\n")
    spool._opened -= 31  # as if it had been opened then
    deadline = time.monotonic() + 5
    while finished() == [False] and time.monotonic() < deadline:
        time.sleep(0.02)
    spool.append(b"kaksi\n")

    assert (read(), finished()) == ([b"yksi\n", b"kaksi\n"], [True, False])


def test_a_folder_that_cannot_be_made_loses_the_hit_and_says_so(tmp_path, caplog):
    (tmp_path / "spool").write_text("in the way")
    spool = HitLog(tmp_path / "spool")

    taken = spool.append(b"yksi\n")

    assert (taken, spool.lost) == (False, 1)
    assert [record.message for record in caplog.records] == ["hit not recorded"]


def test_once_the_folder_can_be_made_hits_are_kept_again(tmp_path, read):
    (tmp_path / "spool").write_text("in the way")
    spool = HitLog(tmp_path / "spool")
    spool.append(b"yksi\n")
    (tmp_path / "spool").unlink()

    spool.append(b"kaksi\n")
    spool.close()

    assert (read(), spool.lost) == ([b"kaksi\n"], 1)


@pytest.fixture
def full_disk():
    """Let no file of this process grow beyond some bytes until the test says otherwise."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int = soft) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    yield limit
    limit()


@pytest.mark.parametrize(("room", "stump"), [(10, b"kaksi"), (5, b"")])
def test_a_full_disk_is_counted_and_spoils_no_other_line(spool, read, full_disk, room, stump):
    spool.append(b"yksi\n")
    full_disk(room)
    taken = spool.append(b"kaksi-ja-puoli\n")
    full_disk()
    spool.append(b"kolme\n")

    (content,) = read()
    assert (taken, spool.lost) == (False, 1)
    assert content.split(b"\n") == [b"yksi", *([stump] if stump else []), b"kolme", b""]


def test_an_unlocked_descriptor_is_finished(tmp_path):
    descriptor = os.open(tmp_path / "old.hits", os.O_CREAT | os.O_RDONLY)

    assert is_finished(descriptor)
    os.close(descriptor)
