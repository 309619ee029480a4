"""SU-6 and the intake: what a signup waits for, where it is safe, and how it becomes rows."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from newsletter.db import db
from newsletter.durable.log_loader import SpoolOffset
from newsletter.mail.models import OutboxMail
from newsletter.privacy.retention.erasure import erase_person
from newsletter.subscribers.consent import texts
from newsletter.subscribers.models import (
    Consent,
    Purpose,
    Signup,
    Subscriber,
    SubscriptionStatus,
    SuppressionReason,
    Wording,
)
from newsletter.subscribers.signup import queue as signup_queue
from newsletter.subscribers.suppressions import suppress
from newsletter.wakeups import queue
from tests.support.apps import Client, at_once, on_its_own
from tests.support.clock import NOW

FORM = {"lists": "suomeksi", "consent": "yes", "lang": "fi"}


@pytest.fixture
def post(app, finnish):
    """Sign up while no loader runs; return the answer."""

    def send(email="meri@example.com", **fields):
        return FlaskClient(app, app.response_class).post("/subscribe", data=FORM | {"email": email} | fields)

    return send


@pytest.fixture
def load(app) -> Callable[[], int]:
    return lambda: on_its_own(app, signup_queue.load_queued)


@pytest.fixture
def folder(app) -> Path:
    return signup_queue.queue_folder(Path(app.instance_path))


@contextmanager
def statements() -> Iterator[list[str]]:
    """Note every statement that reaches the database."""
    seen: list[str] = []

    def note(_connection, _cursor, statement, *_more):
        seen.append(statement)

    sa.event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)


# --- what an answer waits for ------------------------------------------------------------------------


def test_su6_an_answer_never_asks_the_database_what_the_address_is(post, make_subscriber, finnish):
    make_subscriber("confirmed@example.com", [finnish])
    make_subscriber("pending@example.com", [finnish], SubscriptionStatus.PENDING)
    suppress("banned@example.com", SuppressionReason.BANNED, NOW)
    suppress("blocked@example.com", SuppressionReason.NOT_REQUESTED, NOW)
    db.session.commit()
    post("first@example.com")  # after which the lists are known

    with statements() as seen:
        answers = [
            post(f"{state}@example.com") for state in ("new", "confirmed", "pending", "banned", "blocked")
        ]

    assert seen == []
    assert {(answer.status_code, answer.location, answer.data) for answer in answers} == {
        (303, "/subscribe/sent?lang=fi", answers[0].data)
    }


def test_a_signup_is_on_the_disk_before_it_is_answered(post, stored, load, folder):
    post("meri@example.com")

    (path,) = folder.glob("*.signups")
    assert (b"meri@example.com" in path.read_bytes(), path.stat().st_mode & 0o777) == (True, 0o600)
    assert (stored(Signup), signup_queue.count_queued(folder.parent)) == ([], 1)
    assert load() == 1
    assert len(stored(Signup)) == 1


def test_many_at_once_are_all_on_the_disk(real_app, finnish, load, stored):
    db.session.rollback()
    senders = [
        lambda number=number: (
            Client(real_app, real_app.response_class)
            .post("/subscribe", data=FORM | {"email": f"m{number}@example.com"})
            .status_code
        )
        for number in range(8)
    ]

    assert at_once(real_app, *senders) == [303] * 8
    load()
    assert len(stored(Signup)) == len(stored(OutboxMail)) == 8


def test_while_no_loader_runs_a_worker_is_woken_once(app, post):
    post("yksi@example.com")
    post("kaksi@example.com")

    assert [task.args for task in queue(app).pending()] == [("signups",)]


def test_while_a_loader_runs_nobody_is_woken(app, post):
    with signup_queue.loader_running(Path(app.instance_path)):
        post()

    assert queue(app).pending() == []


# --- the disk ----------------------------------------------------------------------------------------


@pytest.fixture
def full_disk():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int = soft) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    yield limit
    limit()


def test_what_cannot_be_written_down_is_refused_honestly_and_may_be_tried_again(
    app, post, folder, change_settings, load, stored
):
    change_settings(signup_limit_address="1/day")
    folder.write_text("in the way")

    form = post()
    api = FlaskClient(app, app.response_class).post(
        "/api/v1/subscriptions",
        json={"email": "meri@example.com", "lists": ["suomeksi"], "consent": True, "language": "en"},
    )
    folder.unlink()

    assert (form.status_code, api.status_code, api.json["code"]) == (503, 503, "intake_closed")
    assert api.json["detail"] == "Your subscription could not be saved just now. Try again in a moment."
    assert post().status_code == 303
    load()
    assert len(stored(OutboxMail)) == 1


def test_a_full_disk_spoils_no_other_line(app, post, folder, full_disk, load, stored):
    post("yksi@example.com")
    (path,) = folder.glob("*.signups")
    kept = app.extensions["newsletter.intake"]
    line = path.read_bytes()
    full_disk(len(line) + 10)
    with pytest.raises(OSError, match="no room"):
        kept._write(line)  # the file alone: the counts could not be written either
    full_disk()
    post("kaksi@example.com")

    load()

    assert {person.address for person in stored(Subscriber)} == {"yksi@example.com", "kaksi@example.com"}


# --- from the file to the rows -----------------------------------------------------------------------


class Killed(BaseException):
    """As a kill would, it is caught by nobody."""


def test_a_loader_killed_before_its_commit_loses_and_doubles_nothing(real_app, post, load, stored, folder):
    post("meri@example.com")

    def die(_session):
        raise Killed

    sa.event.listen(db.session, "before_commit", die)
    with pytest.raises(Killed):
        on_its_own_without_commit(real_app)
    sa.event.remove(db.session, "before_commit", die)

    assert stored(Signup) == []
    assert (load(), load()) == (1, 0)
    assert (len(stored(Signup)), len(stored(OutboxMail))) == (1, 1)


def on_its_own_without_commit(app):
    with app.app_context():
        signup_queue.load_queued()


def test_a_loader_killed_after_its_commit_doubles_nothing_and_leaves_no_address(post, load, stored, folder):
    post("meri@example.com")
    (path,) = folder.glob("*.signups")
    line = path.read_bytes()
    load()
    path.write_bytes(line)  # as it was before the loader blanked it

    assert load() == 0
    assert (len(stored(Signup)), path.read_bytes().strip()) == (1, b"")


def test_what_has_rows_is_blanked_and_the_file_goes_when_its_writer_lets_go(app, post, load, folder, stored):
    post("meri@example.com")
    load()
    (path,) = folder.glob("*.signups")
    assert path.read_bytes().strip() == b""

    app.extensions["newsletter.intake"].close()
    load()

    assert (list(folder.glob("*.signups")), stored(SpoolOffset)) == ([], [])


def test_a_signup_loaded_late_is_of_the_moment_it_was_made(post, load, clock, stored):
    post(tracking="yes")
    clock.shift(timedelta(hours=2))

    load()

    (signup,) = stored(Signup)
    assert (signup.created_at, signup.expires_at) == (NOW, NOW + timedelta(days=7))
    assert {row.at for row in stored(Consent)} == {NOW}


def test_su5_the_evidence_has_the_words_that_were_shown(post, load, stored, monkeypatch):
    shown = texts.get_consent_text(Purpose.NEWSLETTER, "fi")
    post()
    monkeypatch.setitem(texts.CONSENT_TEXTS, Purpose.NEWSLETTER, "Other words of a newer version.")

    load()

    (words,) = stored(Wording)
    assert (words.text, stored(Consent)[0].wording_id) == (shown, words.id)


def test_su8_of_two_requests_in_one_batch_each_gets_what_it_would_have_got_alone(
    post, load, make_subscriber, finnish, english, stored
):
    make_subscriber("meri@example.com", [finnish])
    for fields in (
        {},
        {},
        {"lists": "in-english"},
        {"email": "Aalto@example.com"},
        {"email": "aalto@Example.com"},
    ):
        post(**fields)

    load()

    assert [(mail.template, mail.address) for mail in stored(OutboxMail)] == [
        ("already_subscribed", "meri@example.com"),
        ("confirm", "meri@example.com"),
        ("confirm", "Aalto@example.com"),
        ("confirm", "Aalto@example.com"),
    ]
    assert [row.address for row in stored(Subscriber)] == ["meri@example.com", "Aalto@example.com"]


def test_no_file_keeps_anything_of_someone_erased_a_moment_after_signing_up(real_app, post):
    post("canary@example.com", tracking="yes")

    erase_person("canary@example.com", now=NOW, actor="staff:1")

    files = [path for path in Path(real_app.instance_path).rglob("*") if path.is_file()]
    assert [path.name for path in files if b"canary@" in path.read_bytes()] == []
    assert signup_queue.count_queued(Path(real_app.instance_path)) == 0
