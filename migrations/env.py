"""How migrations run: one history for SQLite and PostgreSQL."""

from alembic import context

from newsletter.db import Base, db

#: A migration waits this long for a busy table, then gives up and changes nothing.
LOCK_TIMEOUT = "10s"


def run() -> None:
    """Migrate over the application's own connection."""
    with db.engine.connect().execution_options(begins="BEGIN IMMEDIATE") as connection:
        sqlite = connection.dialect.name == "sqlite"
        if sqlite:
            # Batch mode drops and remakes tables: with foreign keys on, the drop deletes all children.
            _outside_transaction(connection, "PRAGMA foreign_keys=OFF")
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            render_as_batch=sqlite,
            compare_type=True,
            user_module_prefix="",
        )
        with context.begin_transaction():
            if not sqlite:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            context.run_migrations()
            if sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()):
                raise RuntimeError(f"the migration left rows without their parent: {broken[:5]}")
        if sqlite:
            _outside_transaction(connection, "PRAGMA foreign_keys=ON")


def _outside_transaction(connection: object, pragma: str) -> None:
    connection.rollback()
    connection.connection.driver_connection.execute(pragma).close()


if context.is_offline_mode():
    raise SystemExit("Migrations run against a database; there is no offline mode.")
run()
