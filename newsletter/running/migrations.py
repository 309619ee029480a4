"""The database schema: is it there, is it ours, is it up to date.

Each start asks, and seldom is there anything to migrate. So Alembic, its migrations and templates (7 MB in
every process, 0.1 s) are imported only where something is migrated or compared.
"""

import warnings
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from newsletter.config import data_folder
from newsletter.db import Base, db, read_transactions
from newsletter.errors import StartRefused

if TYPE_CHECKING:
    from alembic.config import Config

#: Alembic's own.
_VERSION_TABLE = sa.table("alembic_version", sa.column("version_num", sa.String))


class DatabaseTooNew(StartRefused):
    """The database was migrated by a newer version."""


class DatabaseTooOld(StartRefused):
    """The database needs a migration."""


def current_revision() -> str | None:
    """Return the revision the database is at; None when it is empty. Waits for no writer, not even for us."""
    with read_transactions(), db.engine.connect() as connection:
        if not sa.inspect(connection).has_table(_VERSION_TABLE.name):
            return None
        found: str | None = connection.execute(sa.select(_VERSION_TABLE.c.version_num)).scalar()
        return found


def head_revision() -> str:
    """Return the newest revision of this version."""
    return max(_known_revisions())


def upgrade() -> None:
    """Migrate to the newest revision; raise DatabaseTooNew rather than touch what we do not know."""
    _refuse_newer_revision()
    if current_revision() != head_revision():
        from alembic import command  # noqa: PLC0415 - see above

        command.upgrade(_config(), "head")
    db.session.remove()


def require_up_to_date() -> None:
    """Make an empty database ready; raise DatabaseTooNew or DatabaseTooOld for another shape."""
    revision = current_revision()
    if revision == head_revision():
        return
    if revision is None:
        upgrade()
        return
    _refuse_newer_revision()
    raise DatabaseTooOld(reason="The database has an older shape. Bring it up: newsletter db upgrade")


def model_differences() -> list[str]:
    """Return what the models have that the database lacks, and the other way round."""
    if current_revision() != head_revision():
        raise DatabaseTooOld(reason="Bring the database up first: newsletter db upgrade")
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415 - see above
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415 - see above

    with read_transactions(), db.engine.connect() as connection, warnings.catch_warnings():
        # Nobody can read an index of an expression back from SQLite; a test compares those.
        warnings.filterwarnings("ignore", ".*expression-based index")
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [_describe_difference(difference) for difference in compare_metadata(context, Base.metadata)]


def write_revision(name: str, message: str) -> str:
    """Write a migration for the difference between the models and this database; return its path."""
    from alembic import command  # noqa: PLC0415 - see above

    script = command.revision(_config(), message, autogenerate=True, rev_id=name)
    return str(getattr(script, "path", ""))


def _refuse_newer_revision() -> None:
    revision = current_revision()
    if revision is not None and revision not in _known_revisions():
        raise DatabaseTooNew(
            reason=f"The database is from a newer version of this program (revision {revision})."
            " Run that version; nothing has been changed."
        )


def _describe_difference(difference: Any) -> str:  # noqa: ANN401 - Alembic's own tuples, nested for columns
    if isinstance(difference, list):
        return "; ".join(map(_describe_difference, difference))
    kind, *things = difference
    return " ".join([kind, *(str(getattr(thing, "name", thing)) for thing in things if thing is not None)])


def _known_revisions() -> set[str]:
    """Return our revisions: each file is named after its own, and the names are in their order."""
    return {path.stem for path in (data_folder("migrations") / "versions").glob("[0-9]*.py")}


def _config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(data_folder("migrations")))
    config.set_main_option("file_template", "%%(rev)s")
    return config
