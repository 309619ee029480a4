"""The database's shape: is it there, is it ours, is it new enough."""

import alembic.command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import Migrate
from flask_migrate import upgrade as run_migrations

from newsletter.config import data_folder
from newsletter.db import Base, db
from newsletter.errors import StartRefused

migrate = Migrate()


class DatabaseTooNew(StartRefused):
    """A newer version has been here."""


class DatabaseTooOld(StartRefused):
    """The database waits for its migration."""


def init_app(app: Flask) -> None:
    """Tell Flask-Migrate where the migrations are."""
    migrate.init_app(app, db, directory=str(data_folder("migrations")), render_as_batch=True)


def current() -> str | None:
    """Return the revision the database is at; None when it is empty."""
    with db.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest() -> str:
    """Return the newest revision of this version."""
    return str(_scripts().get_current_head())


def upgrade() -> None:
    """Migrate to the newest revision; raise DatabaseTooNew rather than touch what we do not know."""
    _refuse_newer()
    if current() != newest():
        run_migrations()
    db.session.remove()


def require_current() -> None:
    """Make an empty database ready; raise DatabaseTooNew or DatabaseTooOld for another shape."""
    revision = current()
    if revision == newest():
        return
    if revision is None:
        upgrade()
        return
    _refuse_newer()
    raise DatabaseTooOld(reason="The database has an older shape. Bring it up: newsletter db upgrade")


def differences() -> list[str]:
    """Return what the models have that the database lacks, and the other way round."""
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [str(difference) for difference in compare_metadata(context, Base.metadata)]


def write_revision(name: str, message: str) -> str:
    """Write a migration for the difference between the models and this database; return its path."""
    config = migrate.get_config()
    config.set_main_option("file_template", "%%(rev)s")
    script = alembic.command.revision(config, message, autogenerate=True, rev_id=name)
    return str(getattr(script, "path", ""))


def _refuse_newer() -> None:
    revision = current()
    known = {script.revision for script in _scripts().walk_revisions()}
    if revision is not None and revision not in known:
        raise DatabaseTooNew(
            reason=f"The database is from a newer version of this program (revision {revision})."
            " Run that version; nothing has been changed."
        )


def _scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(data_folder("migrations")))
    return ScriptDirectory.from_config(config)
