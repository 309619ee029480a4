"""How migrations run: one history for SQLite and PostgreSQL, each migration whole or not at all."""

from alembic import context
from sqlalchemy.engine import Connection

from newsletter.db import Base, db

#: A migration waits this long for a busy table, then gives up and changes nothing.
LOCK_TIMEOUT = "10s"
#: Held while migrating, so that of several machines that start at once one does it.
ADVISORY_LOCK = 7_305_419


def run() -> None:
    """Migrate over the application's own connection."""
    with db.engine.connect().execution_options(begins="BEGIN IMMEDIATE") as connection:
        sqlite = connection.dialect.name == "sqlite"
        try:
            if sqlite:
                # Batch mode drops and remakes tables: with foreign keys on, the drop deletes all children.
                _watch_foreign_keys(connection, "OFF")
            _migrate(connection, sqlite=sqlite)
        finally:
            if sqlite:
                _watch_foreign_keys(connection, "ON")


def _migrate(connection: Connection, *, sqlite: bool) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=sqlite,
        compare_type=True,
        transactional_ddl=True,  # SQLite can, now that we begin transactions ourselves
        user_module_prefix="",
    )
    with context.begin_transaction():
        if not sqlite:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        context.run_migrations()
        if sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()):
            raise RuntimeError(f"the migration left rows without their parent: {broken[:5]}")


def _watch_foreign_keys(connection: Connection, state: str) -> None:
    """Switch the checks of this connection; SQLite ignores that inside a transaction."""
    connection.rollback()
    connection.connection.driver_connection.execute(f"PRAGMA foreign_keys={state}").close()


if context.is_offline_mode():
    raise SystemExit("Migrations run against a database; there is no offline mode.")
run()
