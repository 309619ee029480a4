"""What stops a start: one line that says what to do, and nothing has changed."""

import os
import shutil
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

#: A superuser may write anywhere; without this capability they are like everybody else.
LIKE_EVERYBODY = ("setpriv", "--bounding-set", "-dac_override") if os.geteuid() == 0 else ()


@pytest.fixture
def instance(tmp_path) -> Path:
    folder = tmp_path / "instance"
    folder.mkdir()
    return folder


def test_an_unknown_setting_is_named_with_its_likely_spelling(start_program, instance):
    done = start_program("lists", "show", BASEURL="https://news.example")

    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        (
            "Error: NEWSLETTER_BASEURL (environment): there is no such setting;"
            " did you mean NEWSLETTER_BASE_URL?\n"
        ),
    )
    assert not (instance / "newsletter.db").exists()


def test_a_folder_that_cannot_be_written_to_stops_the_start(start_program, instance):
    instance.chmod(0o500)

    done = start_program("run", prefix=LIKE_EVERYBODY)

    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        f"Error: The instance folder {instance} cannot be written to.\n",
    )
    assert list(instance.iterdir()) == []


@pytest.mark.parametrize("words", [["run", "--port", "1"], ["lists", "show"]])
def test_a_database_of_a_newer_version_is_left_alone(start_program, instance, sqlite_template, words):
    shutil.copy(sqlite_template, instance)
    with closing(sqlite3.connect(instance / "newsletter.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        before = list(database.iterdump())

    done = start_program(*words)

    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        "Error: The database is from a newer version of this program (revision 9999)."
        " Run that version; nothing has been changed.\n",
    )
    with closing(sqlite3.connect(instance / "newsletter.db")) as database:
        assert list(database.iterdump()) == before


def test_a_port_that_is_taken_stops_the_start(start_program, instance):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        done = start_program("run", "--port", str(port))

    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        f"Error: Port {port} on 127.0.0.1 cannot be used: Address already in use. Choose another with --port.\n",
    )
    assert not (instance / "newsletter.db").exists()
