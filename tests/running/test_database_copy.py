"""``newsletter db copy``: SQLite's rows arrive on PostgreSQL as they were, all of them or none."""

import sqlite3
import tracemalloc
from contextlib import closing, contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from newsletter.campaigns.models import Campaign
from newsletter.db import Base, db
from newsletter.ledger import audit
from newsletter.running import database_copy, migrations
from newsletter.running.database_copy import CopyRefused, copy_database
from newsletter.running.demo import fill_database
from newsletter.subscribers.consent.evidence import seal_ledger, verify_ledger
from newsletter.subscribers.models import MailingList, Subscriber, Subscription
from tests.support.apps import running


@pytest.fixture
def engine():
    """The source is SQLite in every story here."""
    return "sqlite"


@pytest.fixture
def target(postgres, postgres_template):
    """An empty database that has been migrated: what a copy that was interrupted leaves."""
    url = postgres.create(postgres_template)
    yield url
    postgres.drop(url)


@pytest.fixture
def bare_target(postgres):
    """An empty database, without any table."""
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.fixture
def on_target(tmp_path_factory, request):
    """Make what looks at the target, through an application of its own, in a block."""
    name = "bare_target" if "bare_target" in request.fixturenames else "target"
    url = request.getfixturevalue(name)

    @contextmanager
    def look():
        with running(tmp_path_factory.mktemp("target"), database_url=url) as app, app.app_context():
            yield
            db.session.remove()

    return look


def counts() -> dict[str, int]:
    return {
        table.name: db.session.scalar(sa.select(sa.func.count()).select_from(table)) or 0
        for table in Base.metadata.sorted_tables
    }


def content(table) -> list[str]:
    return sorted(repr(tuple(row)) for row in db.session.execute(sa.select(table)))


def test_all_that_the_demo_has_arrives_and_its_seals_verify(real_app, bare_target, on_target, now):
    fill_database(now)
    seal_ledger()
    audit.seal_log()
    before, people = counts(), content(Subscriber.__table__)
    links = content(Base.metadata.tables["links"])

    done = copy_database(bare_target, now=now, actor="console")

    assert (done["rows"], done["broken"]) == (sum(before.values()), [])
    assert done["sealed_facts"] > 2000
    with on_target():
        assert counts() == before | {"audit": before["audit"] + 1}
        assert content(Subscriber.__table__) == people
        assert content(Base.metadata.tables["links"]) == links
        assert verify_ledger().broken == audit.verify_log().broken == []
        assert migrations.model_differences() == []


def test_the_source_stays_as_it_was(real_app, target, make_subscriber, now):
    make_subscriber("aino@example.com")
    before = counts()

    copy_database(target, now=now, actor="console")

    assert counts() == before


def test_every_type_of_column_comes_back_the_same(real_app, target, on_target, now):
    """JSON with its nulls, bytes, days, instants, letters beyond ASCII: what a demo has little of."""
    rows = {
        "pictures": {"data": bytes(range(256)), "created_at": now},
        "notices": {"content": {"ä": [None, 1.5, True, {"ö": "\n\t\\N"}]}},
        "audit": {"details": None, "about": {"address": "äiti\\.@example.com"}, "at": now},
    }
    for name, given in rows.items():
        table = Base.metadata.tables[name]
        db.session.execute(sa.insert(table), [_filled(table, now) | given])
    db.session.commit()
    before = {name: content(Base.metadata.tables[name]) for name in ("pictures", "notices")}

    copy_database(target, now=now, actor="console")

    with on_target():
        assert {name: content(Base.metadata.tables[name]) for name in before} == before
        assert "äiti" in "".join(content(Base.metadata.tables["audit"]))


def _filled(table, now) -> dict[str, object]:
    """Make up a row: something of its type for each column that must have it."""
    made = {}
    for column in table.columns:
        if column.nullable or column is table.autoincrement_column or column.default or column.server_default:
            continue
        python = column.type.python_type if not isinstance(column.type, sa.JSON) else dict
        made[column.name] = {str: "x", int: 1, bool: True, bytes: b"x", dict: {}}.get(python, now)
    return made


def test_new_rows_get_numbers_that_were_never_given_out(real_app, target, on_target, make_subscriber, now):
    """A number of a campaign or a person stands in old mails, also after its row is gone."""
    make_subscriber("aino@example.com")
    gone = make_subscriber("eero@example.com")
    last = gone.id
    db.session.execute(sa.delete(Subscription).where(Subscription.subscriber_id == last))
    db.session.execute(sa.delete(Subscriber).where(Subscriber.id == last))
    db.session.commit()

    copy_database(target, now=now, actor="console")

    with on_target():
        numbers = [
            db.session.scalar(sa.select(sa.func.nextval(f"{model.__tablename__}_id_seq")))
            for model in (Subscriber, MailingList, Campaign)
        ]
        assert numbers == [last + 1, 3, 1]


def test_a_target_with_rows_is_refused_and_left_alone(real_app, target, on_target, make_subscriber, now):
    make_subscriber("aino@example.com")
    with on_target():
        migrations.upgrade()
        db.session.add(MailingList(slug="toinen", name="Toinen", language="fi", created_at=now))
        db.session.commit()
        before = counts()

    with pytest.raises(CopyRefused, match="the target is not empty: lists has rows"):
        copy_database(target, now=now, actor="console")

    with on_target():
        assert counts() == before


def test_a_target_of_another_program_is_refused(real_app, bare_target, on_target, now):
    with on_target():
        db.session.execute(sa.text("CREATE TABLE wiki (page text)"))
        db.session.commit()

    with pytest.raises(CopyRefused, match="tables of something else"):
        copy_database(bare_target, now=now, actor="console")


def test_a_source_in_use_is_refused(real_app, target, now, monkeypatch):
    """A worker that goes on would send what the copy sends again."""
    monkeypatch.setattr(database_copy, "_PATIENCE", 0.1)
    file = real_app.config["NEWSLETTER"].database_url.database
    with closing(sqlite3.connect(file)) as other:
        other.execute("SELECT count(*) FROM lists").fetchone()

        with pytest.raises(CopyRefused, match="the database is in use"):
            copy_database(target, now=now, actor="console")

    assert copy_database(target, now=now, actor="console")["rows"] == 0


def test_killed_or_failing_at_the_last_table_nothing_is_there_and_it_can_be_run_again(
    real_app, target, on_target, make_subscriber, now
):
    make_subscriber("aino@example.com")
    before = counts()

    def fail(done: int, total: int) -> None:
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_database(target, now=now, actor="console", tell=fail)

    with on_target():
        assert set(counts().values()) == {0}
    copy_database(target, now=now, actor="console")
    with on_target():
        assert counts() == before | {"audit": before["audit"] + 1}


def test_what_postgresql_cannot_hold_is_named_and_nothing_is_copied(
    real_app, target, on_target, make_subscriber, now
):
    make_subscriber("aino@example.com")
    db.session.execute(sa.update(MailingList).values(name="A\0B"))
    db.session.commit()

    with pytest.raises(CopyRefused, match="NUL"):
        copy_database(target, now=now, actor="console")

    with on_target():
        assert set(counts().values()) == {0}


def test_rows_that_arrive_changed_are_noticed(real_app, target, on_target, make_subscriber, now, monkeypatch):
    make_subscriber("aino@example.com")
    read_back = database_copy._read_back

    def changed(table, connection):
        if table.name == "subscribers":
            connection.execute(sa.update(Subscriber).values(address="eero@example.com"))
        return read_back(table, connection)

    monkeypatch.setattr(database_copy, "_read_back", changed)
    with pytest.raises(CopyRefused, match="the rows of subscribers are not the same"):
        copy_database(target, now=now, actor="console")

    with on_target():
        assert set(counts().values()) == {0}


def test_memory_does_not_grow_with_the_rows(real_app, target, now):
    """3,000 rows of 8 kB are 24 MB; of these far less is held at once."""
    table = Base.metadata.tables["audit"]
    row = _filled(table, now) | {"at": now, "details": {"x": "y" * 8000}}
    for _turn in range(30):
        db.session.execute(sa.insert(table), [row] * 100)
    db.session.commit()

    tracemalloc.start()
    copy_database(target, now=now, actor="console")
    _held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 12_000_000


def test_a_server_that_is_away_is_one_line(real_app, now):
    away = make_url("postgresql+psycopg://nobody@127.0.0.1:9/none?connect_timeout=2")

    with pytest.raises(CopyRefused, match="Nothing was copied: connection failed"):
        copy_database(away, now=now, actor="console")
