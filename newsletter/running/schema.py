"""The database's shape: is it there, is it ours, is it new enough."""

import warnings
from typing import Any

import alembic.command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from newsletter.config import data_folder
from newsletter.db import Base, db
from newsletter.errors import StartRefused


class DatabaseTooNew(StartRefused):
    """A newer version has been here."""


class DatabaseTooOld(StartRefused):
    """The database waits for its migration."""


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
        alembic.command.upgrade(_config(), "head")
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
    if current() != newest():
        raise DatabaseTooOld(reason="Bring the database up first: newsletter db upgrade")
    with db.engine.connect() as connection, warnings.catch_warnings():
        # Nobody can read an index of an expression back from SQLite; a test compares those.
        warnings.filterwarnings("ignore", ".*expression-based index")
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [_in_words(difference) for difference in compare_metadata(context, Base.metadata)]


def write_revision(name: str, message: str) -> str:
    """Write a migration for the difference between the models and this database; return its path."""
    script = alembic.command.revision(_config(), message, autogenerate=True, rev_id=name)
    return str(getattr(script, "path", ""))


def _refuse_newer() -> None:
    revision = current()
    known = {script.revision for script in _scripts().walk_revisions()}
    if revision is not None and revision not in known:
        raise DatabaseTooNew(
            reason=f"The database is from a newer version of this program (revision {revision})."
            " Run that version; nothing has been changed."
        )


def _in_words(difference: Any) -> str:  # noqa: ANN401 - Alembic's own tuples, nested for columns
    if isinstance(difference, list):
        return "; ".join(map(_in_words, difference))
    kind, *things = difference
    return " ".join([kind, *(str(getattr(thing, "name", thing)) for thing in things if thing is not None)])


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(data_folder("migrations")))
    config.set_main_option("file_template", "%%(rev)s")
    return config
