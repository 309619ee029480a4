import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from datetime import date, datetime
from subprocess import DEVNULL, PIPE

import alembic.command
import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from newsletter.config import data_folder
from newsletter.db import Base, db
from newsletter.running import migrations
from newsletter.subscribers.models import MailingList, Subscriber, Subscription
from tests.support.apps import load_settings, running
from tests.support.server import ROOT

FOLDER = data_folder("migrations")
SCRIPTS = ScriptDirectory(str(FOLDER))
OLDER = [
    script.revision for script in SCRIPTS.walk_revisions() if script.revision != SCRIPTS.get_current_head()
]
NEXT = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "9999_next", {newest!r}, None, None

def upgrade():
    remade = "always" if op.get_context().dialect.name == "sqlite" else "never"
    with op.batch_alter_table({table!r}, recreate=remade) as batch:
        batch.add_column(sa.Column("more", sa.String(), nullable=True))
    op.execute({then!r})
"""

#: How many wait for a lock in this database, and for how many seconds the first of them has.
WAITING = """
select count(*), coalesce(max(extract(epoch from clock_timestamp() - query_start)), 0)
from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
"""


@pytest.fixture
def migrate_further(real_app, tmp_path):
    """Run a migration that does not exist yet: remakes a table (as SQLite has to), then a statement."""

    def run(table, then="select 1"):
        folder = tmp_path / "migrations"
        shutil.copytree(FOLDER, folder)
        code = NEXT.format(newest=migrations.head_revision(), table=table, then=then)
        (folder / "versions" / "9999_next.py").write_text(code, encoding="utf-8")
        db.session.rollback()
        config = Config()
        config.set_main_option("script_location", str(folder))
        alembic.command.upgrade(config, "head")

    return run


@pytest.fixture
def empty_database(request, engine, tmp_path):
    if engine == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
        return
    server = request.getfixturevalue("postgres")
    url = server.create()
    yield url
    server.drop(url)


@pytest.fixture
def empty_app(empty_database, tmp_path):
    with running(tmp_path / "empty", database_url=empty_database) as app, app.app_context():
        yield app


def set_revision(revision):
    with db.engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = :to"), {"to": revision})


def tables():
    return set(sa.inspect(db.engine).get_table_names())


def count(model):
    number = db.session.scalar(sa.select(sa.func.count()).select_from(model))
    db.session.rollback()
    return number


def test_the_newest_migration_equals_the_models(real_app):
    assert migrations.model_differences() == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "words", ["AUTOINCREMENT", "WITHOUT ROWID", "ON DELETE CASCADE", "ON DELETE SET NULL", "WHERE", "(ID / "]
)
def test_what_alembic_does_not_compare_equals_the_models_too(real_app, tmp_path, words):
    def having(engine):
        with engine.connect() as connection:
            rows = connection.exec_driver_sql("select name, sql from sqlite_master where sql is not null")
            return {name: sql.upper().count(words) for name, sql in rows if words in sql.upper()}

    made_by_models = sa.create_engine(f"sqlite:///{tmp_path}/models.db")
    Base.metadata.create_all(made_by_models)

    assert having(db.engine) == having(made_by_models) != {}
    made_by_models.dispose()


def test_an_empty_database_is_made_ready(empty_app):
    migrations.require_up_to_date()

    assert migrations.current_revision() == migrations.head_revision()
    assert tables() == {*Base.metadata.tables, "alembic_version"}


def test_migrating_twice_changes_nothing(real_app, make_subscriber):
    make_subscriber()

    migrations.upgrade()
    migrations.require_up_to_date()

    assert (count(Subscriber), count(Subscription)) == (1, 1)


def test_every_migration_can_be_taken_back(empty_app):
    migrations.upgrade()

    alembic.command.downgrade(migrations._config(), "base")
    assert tables() == {"alembic_version"}

    migrations.upgrade()
    assert migrations.model_differences() == []


def test_a_database_with_people_in_it_keeps_them_all(migrate_further, make_list, make_subscriber):
    lists = [make_list(), make_list()]
    people = [make_subscriber(lists=lists) for _ in range(3)]

    migrate_further("subscribers")

    assert migrations.current_revision() == "9999_next"
    assert (count(MailingList), count(Subscriber), count(Subscription)) == (2, 3, 6)
    assert db.session.scalars(sa.select(Subscriber.address).order_by(Subscriber.id)).all() == [
        person.address for person in people
    ]


@pytest.mark.parametrize("table", [table.name for table in Base.metadata.sorted_tables])
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_every_table_can_be_remade(migrate_further, make_subscriber, table):
    make_subscriber()

    migrate_further(table)

    with db.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall() == []
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    assert (count(Subscriber), count(Subscription)) == (1, 1)


@pytest.fixture
def broken_migration(migrate_further, make_subscriber):
    """A migration that would have left subscriptions without their subscriber."""
    make_subscriber()
    with pytest.raises(RuntimeError, match="the migration left rows without their parent"):
        migrate_further("lists", then="delete from subscribers")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_migration_that_breaks_something_is_undone(real_app, broken_migration):
    assert migrations.current_revision() == migrations.head_revision()
    assert (count(Subscriber), count(Subscription)) == (1, 1)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_foreign_keys_are_watched_again_after_a_failed_migration(real_app, broken_migration):
    with db.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


@pytest.mark.parametrize("bring_up", [migrations.upgrade, migrations.require_up_to_date])
def test_a_newer_database_is_refused_and_left_as_it_is(real_app, make_subscriber, bring_up):
    make_subscriber()
    set_revision("9999_next")

    with pytest.raises(migrations.DatabaseTooNew) as refusal:
        bring_up()

    assert str(refusal.value) == (
        "The database is from a newer version of this program (revision 9999_next)."
        " Run that version; nothing has been changed."
    )
    assert (migrations.current_revision(), count(Subscriber)) == ("9999_next", 1)


@pytest.mark.parametrize("revision", OLDER)
def test_an_older_database_waits_to_be_brought_up(real_app, revision):
    set_revision(revision)

    with pytest.raises(migrations.DatabaseTooOld) as refusal:
        migrations.require_up_to_date()

    assert str(refusal.value) == "The database has an older shape. Bring it up: newsletter db upgrade"
    assert migrations.current_revision() == revision


@pytest.mark.parametrize("revision", OLDER)
def test_a_database_of_an_earlier_version_is_brought_up_with_all_its_rows(empty_app, revision, now):
    alembic.command.upgrade(migrations._config(), revision)
    before = fill_every_table(now)

    migrations.upgrade()

    assert migrations.model_differences() == []
    with db.engine.connect() as connection:
        after = {
            name: connection.scalar(sa.select(sa.func.count()).select_from(sa.table(name))) for name in before
        }
    assert after == dict.fromkeys(before, 1)


def fill_every_table(now):
    """Put a row into every table, whatever the tables are; return their names."""
    metadata = sa.MetaData()
    metadata.reflect(db.engine)
    tables = [table for table in metadata.sorted_tables if table.name != "alembic_version"]
    with db.engine.begin() as connection:
        for table in tables:
            row = {column.name: plausible(column, now) for column in table.columns if not column.nullable}
            connection.execute(sa.insert(table), row)
    return [table.name for table in tables]


def plausible(column, now):
    kinds = {
        int: 1,
        str: "x",
        bool: False,
        bytes: b"x",
        datetime: now,
        date: now.date(),
        object: {},
    }  # JSON last
    return kinds[column.type.python_type]


def test_an_empty_database_is_not_compared(empty_app):
    with pytest.raises(migrations.DatabaseTooOld):
        migrations.model_differences()


@pytest.fixture
def machines(empty_database, tmp_path):
    """Two machines that migrate the same database, started at the same moment."""
    settings = load_settings(tmp_path, database_url=empty_database)
    given = {
        "NEWSLETTER_DATABASE_URL": settings.database_url.render_as_string(hide_password=False),
        "NEWSLETTER_SECRET_KEY": settings.secret_key,
        "NEWSLETTER_SUPPRESSION_KEY": settings.suppression_key,
        "PYTHONPATH": str(ROOT),
    }
    with ExitStack() as stack:

        def start(name):
            environ = {**os.environ, **given, "NEWSLETTER_INSTANCE_PATH": str(tmp_path / name)}
            command = [sys.executable, "-m", "newsletter", "db", "upgrade"]
            process = subprocess.Popen(command, env=environ, stdout=DEVNULL, stderr=PIPE, text=True)
            started = stack.enter_context(process)
            stack.callback(started.kill)
            return started

        yield [start("first"), start("second")]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_machines_that_start_at_once_make_the_database_once(empty_app, machines):
    with db.engine.connect() as ahead, db.engine.connect() as watching:
        # Both find no table, both begin to make it, and both wait for whoever came first: us.
        ahead.exec_driver_sql("create table alembic_version (version_num varchar)")
        waiting, seconds = 0, 0
        while waiting < 2 and seconds < 5:  # longer than ten, and the first would give up
            assert [machine.poll() for machine in machines] == [None, None]
            waiting, seconds = watching.exec_driver_sql(WAITING).one()
            watching.rollback()
        ahead.rollback()

    assert [(machine.communicate()[1], machine.returncode) for machine in machines] == [("", 0), ("", 0)]


def test_the_names_of_the_files_are_alembics_own_order():
    """A start asks the names, and does without Alembic."""
    in_order = [script.revision for script in SCRIPTS.walk_revisions("base", "heads")][::-1]

    assert (migrations.head_revision(), sorted(migrations._known_revisions())) == (
        SCRIPTS.get_current_head(),
        in_order,
    )


def test_a_process_loads_only_what_it_needs():
    program = "import sys, newsletter.__main__; print({'alembic', 'mako', 'granian'} & set(sys.modules))"

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "set()"
