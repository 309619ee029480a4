import json
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest
from sqlalchemy import func, select

from newsletter.db import db
from newsletter.ratelimit import limiter
from newsletter.ratelimit.limiter import SqliteFileStorage
from newsletter.subscribers.models import Signup

HITS = """
import sys
from newsletter.ratelimit import limiter
from newsletter.ratelimit.limiter import SqliteFileStorage
storage = SqliteFileStorage(sys.argv[1])
storage.check()
print("ready", flush=True)
sys.stdin.readline()
print([storage.incr("door", 3600) for _ in range(200)])
"""


@pytest.fixture
def open_storage(tmp_path):
    opened = []

    def open_file():
        opened.append(SqliteFileStorage(f"sqlitefile://{tmp_path}/limits%20and%20more.db"))
        return opened[-1]

    yield open_file
    for storage in opened:
        if hasattr(storage._local, "connection"):
            storage._local.connection.close()


@pytest.fixture
def storage(open_storage):
    return open_storage()


def test_hits_are_counted(storage):
    assert [storage.incr("door", 60) for _ in range(3)] == [1, 2, 3]
    assert storage.get("door") == 3


def test_each_key_is_counted_for_itself(storage):
    storage.incr("door", 60)
    storage.incr("window", 60, amount=5)

    assert (storage.get("door"), storage.get("window"), storage.get("roof")) == (1, 5, 0)


def test_a_window_that_has_ended_counts_from_nothing(storage, clock):
    storage.incr("door", 60)
    clock.shift(59)
    assert storage.incr("door", 60) == 2

    clock.shift(1)

    assert storage.get("door") == 0
    assert storage.incr("door", 60) == 1


def test_further_hits_do_not_make_a_window_longer(storage, clock, now):
    storage.incr("door", 60)
    clock.shift(30)
    storage.incr("door", 60)

    assert storage.get_expiry("door") == now.timestamp() + 60


def test_a_window_can_be_forgotten(storage):
    storage.incr("door", 60)
    storage.incr("window", 60)

    storage.clear("door")

    assert (storage.get("door"), storage.get("window")) == (0, 1)


def test_all_windows_can_be_forgotten(storage):
    storage.incr("door", 60)
    storage.incr("window", 60)

    assert storage.reset() == 2
    assert storage.get("door") == 0


def test_windows_that_have_ended_are_removed_from_the_file(storage, clock):
    storage.incr("203.0.113.7", 60)
    clock.shift(61)

    assert storage.check()
    assert storage.reset() == 0


def test_two_that_use_one_file_count_together(open_storage):
    first, second = open_storage(), open_storage()

    assert [first.incr("door", 60), second.incr("door", 60), first.incr("door", 60)] == [1, 2, 3]


def test_no_hit_is_lost_between_processes(storage, tmp_path):
    command = [sys.executable, "-c", HITS, f"sqlitefile://{tmp_path}/limits%20and%20more.db"]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        print(file=process.stdin, flush=True)

        ours = [storage.incr("door", 3600) for _ in range(200)]
        theirs = json.loads(process.communicate()[0])

    assert sorted(ours + theirs) == list(range(1, 401))


@pytest.fixture
def sign_up(app, make_app, make_list):
    """Return a function that posts the form to an application with these settings."""
    make_list("uutiset")

    def with_settings(**settings):
        client = make_app(**settings).test_client()

        def post(number, consent="yes"):
            form = {"email": f"tilaaja{number}@example.com", "lists": "uutiset", "consent": consent}
            return client.post("/subscribe?lang=en", data=form)

        return post

    return with_settings


def test_the_form_takes_no_more_from_one_address_than_its_limit(sign_up):
    post = sign_up(signup_limit_ip="2/minute")

    answers = [post(number).status_code for number in (1, 2, 3)]

    assert answers == [303, 303, 429]
    assert db.session.scalar(select(func.count()).select_from(Signup)) == 2


def test_a_refusal_says_what_to_do(sign_up):
    post = sign_up(signup_limit_ip="1/minute")
    post(1)

    assert "Too many attempts. Wait a moment and try again." in post(2).text


def test_the_form_opens_again_when_the_minute_is_over(sign_up, clock):
    post = sign_up(signup_limit_ip="1/minute")
    assert [post(1).status_code, post(2).status_code] == [303, 429]

    clock.shift(61)

    assert post(3).status_code == 303


def test_a_mistake_in_the_form_does_not_count(sign_up):
    post = sign_up(signup_limit_ip="1/minute")

    answers = [post(1, consent="").status_code, post(1, consent="").status_code, post(1).status_code]

    assert answers == [422, 422, 303]


def test_a_counter_that_cannot_be_written_does_not_close_the_door(app, make_app, make_list):
    make_list("uutiset")
    broken = make_app(signup_limit_ip="2/minute")
    Path(broken.instance_path, "limits.db").mkdir()

    form = {"email": "tilaaja@example.com", "lists": "uutiset", "consent": "yes"}
    answers = [broken.test_client().post("/subscribe", data=form).status_code for _ in range(3)]

    assert answers == [303, 303, 429]  # each process then counts for itself


def test_each_application_counts_for_itself(app, make_app):
    other = make_app()

    with other.app_context():
        limiter.hit("1/hour", "door")

    assert limiter.hit("1/hour", "door")


def test_a_request_about_ones_data_has_a_limit(app, make_app):
    client = make_app(signup_limit_ip="1/minute").test_client()

    answers = [client.post("/privacy/request", data={"kind": "access"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [422, 429]
    assert 0 < int(answers[1].headers["Retry-After"]) <= 60
