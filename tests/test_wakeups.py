import pickle

import pytest
from huey import MemoryHuey, PostgresHuey, RedisHuey, SqliteHuey
from huey.serializer import SignedSerializer

from newsletter.db import db
from newsletter.subscribers.models import MailingList
from newsletter.wakeups import open_queue, queue, register, wake_after_commit
from tests.support.apps import load_settings


@pytest.fixture
def wakened(app):
    """Take every wake-up off the queue, and return for which jobs they were."""

    def take():
        taken = []
        while (task := queue(app).dequeue()) is not None:
            taken.append(task.args[0])
        return taken

    return take


@pytest.fixture
def add_list(now):
    """Begin a change that a commit would keep."""

    def add(slug="uutiset"):
        db.session.add(MailingList(slug=slug, name="Uutiset", language="fi", created_at=now))

    return add


def test_a_wake_up_leaves_with_the_commit(add_list, wakened):
    add_list()
    wake_after_commit("outbox")
    assert wakened() == []

    db.session.commit()

    assert wakened() == ["outbox"]


def test_a_wake_up_leaves_once(add_list, wakened):
    add_list()
    wake_after_commit("outbox")
    db.session.commit()
    add_list("tarjoukset")
    db.session.commit()

    assert wakened() == ["outbox"]


def test_what_is_rolled_back_wakes_nobody(add_list, wakened):
    add_list()
    wake_after_commit("outbox")

    db.session.rollback()
    add_list("tarjoukset")
    db.session.commit()

    assert wakened() == []


def test_a_job_named_twice_is_woken_once(add_list, wakened):
    add_list()
    for job in ("outbox", "campaigns", "outbox"):
        wake_after_commit(job)

    db.session.commit()

    assert wakened() == ["campaigns", "outbox"]


def test_a_queue_that_is_away_does_not_undo_what_was_committed(app, make_app, add_list, caplog):
    away = make_app(queue_url="redis://127.0.0.1:1/0")

    with away.app_context():
        add_list()
        wake_after_commit("outbox")
        db.session.commit()

    assert [record.message for record in caplog.records] == ["wake-up failed"]
    assert db.session.query(MailingList.slug).all() == [("uutiset",)]


def test_a_wake_up_calls_its_job_in_the_application(make_app):
    app = make_app()
    called = []
    register(app, {"probe": lambda: called.append(db.engine.url.database)})
    with app.app_context():
        app.extensions["newsletter.wake"]("probe")

    huey = queue(app)
    huey.execute(huey.dequeue())

    assert called == [str(app.config["NEWSLETTER"].database_url.database)]


def test_every_wake_up_that_is_sent_has_its_job(sqlite_app):
    assert sorted(sqlite_app.extensions["newsletter.jobs"]) == [
        "campaigns",
        "outbox",
        "signups",
        "standing",
        "sweep",
        "webhooks",
    ]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://", MemoryHuey),
        ("redis://redis.example/0", RedisHuey),
        ("rediss://redis.example/0", RedisHuey),
    ],
)
def test_the_queue_is_where_its_address_says(tmp_path, url, kind):
    assert type(open_queue(load_settings(tmp_path, queue_url=url))) is kind


@pytest.fixture
def durable(fresh_database, tmp_path):
    """The settings of an instance that keeps its queue where it keeps its database."""
    return load_settings(tmp_path, database_url=fresh_database, queue_url="")


@pytest.fixture
def open_durable(durable):
    opened = []

    def open_it():
        opened.append(open_queue(durable))
        return opened[-1]

    yield open_it
    for huey in opened:
        huey.storage.close()


def test_without_an_address_the_queue_lies_beside_the_database(open_durable, engine):
    assert type(open_durable()) is {"sqlite": SqliteHuey, "postgresql": PostgresHuey}[engine]


def test_a_wake_up_reaches_another_process(open_durable):
    sender, receiver = (huey.task(name="newsletter.wake")(print) for huey in (open_durable(), open_durable()))

    sender("outbox")

    assert receiver.huey.dequeue().args == ("outbox",)
    assert receiver.huey.pending_count() == 0


def test_what_was_signed_with_another_key_is_never_unpickled(open_durable):
    huey = open_durable()
    huey.storage.enqueue(SignedSerializer(secret="somebody else's").serialize(print))

    with pytest.raises(ValueError, match=r"Signature .* mismatch"):
        huey.dequeue()


def test_what_nobody_signed_is_never_unpickled(open_durable):
    huey = open_durable()
    huey.storage.enqueue(pickle.dumps(print))

    with pytest.raises(ValueError, match="Separator"):
        huey.dequeue()
