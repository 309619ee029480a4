"""``newsletter run``, ``web``, ``worker``, ``db``, ``doctor`` and ``demo``."""

import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
from flask import Flask, current_app
from flask.cli import AppGroup, with_appcontext

from newsletter.cli.report import CommandRefused, report
from newsletter.clock import utcnow
from newsletter.config import current_settings, parsers
from newsletter.config.instance import save_base_url
from newsletter.db import db
from newsletter.errors import StartRefused
from newsletter.running import migrations, supervisor
from newsletter.running.database_copy import copy_database
from newsletter.running.demo import fill_database
from newsletter.running.doctor.report import run_checks
from newsletter.running.loader import run_loader
from newsletter.running.periodic import JobsFailed, work_until_idle
from newsletter.staff.accounts import has_staff, invitation_url, invite
from newsletter.staff.models import Role
from newsletter.subscribers.lists import create_default_lists
from newsletter.tracking.networks import Networks

database = AppGroup("db", help="The database's shape.")


def default_workers() -> int:
    """Return how many processes answer pages: one a core, two at most unless asked for."""
    return min(2, os.cpu_count() or 1)


_host = click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
_port = click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="On which port."
)
_workers = click.option(
    "--workers", type=click.IntRange(1, 64), default=default_workers, help="Processes for pages."
)


@click.command()
@_host
@_port
@_workers
@with_appcontext
def run(host: str, port: int, workers: int) -> None:
    """Migrate, then serve pages and work, all in one go. Ctrl-C stops everything."""
    _check_start(host, port)
    _set_default_base_url(host, port)
    migrations.upgrade()
    click.echo(_prepare_first_run())
    app = _current_app_object()
    members = {
        "pages": partial(supervisor.serve_web, app, host, port, workers),
        "loader": partial(run_loader, app),
        "worker": partial(supervisor.run_worker, app),
    }
    supervisor.Supervisor(app, members).run()


@click.command()
@_host
@_port
@_workers
@with_appcontext
def web(host: str, port: int, workers: int) -> None:
    """Serve pages and load this machine's hits."""
    _check_start(host, port)
    _set_default_base_url(host, port)
    app = _current_app_object()
    members = {
        "pages": partial(supervisor.serve_web, app, host, port, workers),
        "loader": partial(run_loader, app),
    }
    supervisor.Supervisor(app, members).run()


@click.command()
@click.option("--until-idle", is_flag=True, help="Do what is due now, then exit.")
@click.option(
    "--processes", "number", type=click.IntRange(1, 64), default=1, show_default=True, help="Workers to run."
)
@with_appcontext
def worker(until_idle: bool, number: int) -> None:  # noqa: FBT001 - click passes flags
    """Send mails and run the jobs."""
    app = _current_app_object()
    if until_idle and number > 1:
        raise click.UsageError("--until-idle is for one process.")
    if until_idle:
        _work_until_idle()
    elif number == 1:
        supervisor.run_worker(app)
    else:
        names = [f"worker-{position}" for position in range(1, number + 1)]
        supervisor.Supervisor(app, {name: partial(supervisor.run_worker, app) for name in names}).run()


@database.command("upgrade")
@report
def upgrade() -> tuple[object, str]:
    """Bring the database to this version's shape."""
    migrations.upgrade()
    return {"revision": migrations.head_revision()}, "The database has this version's shape."


@database.command("revision", hidden=True)
@click.argument("name")
@click.option("--message", required=True, help="What it does, in the imperative.")
@report
def revision(name: str, message: str) -> tuple[object, str]:
    """Write a migration from what the models have and the database lacks, to be read by hand."""
    path = migrations.write_revision(name, message)
    return {"path": path}, f"Wrote {path}. Read it, and mend it by hand."


@database.command("check")
@report
def check() -> tuple[object, str]:
    """Tell whether the newest migration equals the models."""
    differences = migrations.model_differences()
    if differences:
        raise StartRefused(reason="The models differ from the newest migration:\n" + "\n".join(differences))
    return {"differences": []}, "The newest migration equals the models."


@database.command("copy")
@click.option(
    "--to",
    "target",
    required=True,
    metavar="URL",
    help="postgresql://user@host/name, an empty database. Leave the password to PGPASSWORD or ~/.pgpass.",
)
@report
def copy(target: str) -> tuple[object, str]:
    """Move everything from SQLite to an empty PostgreSQL database, and verify it there."""
    migrations.require_up_to_date()
    try:
        url = parsers.database_url(target)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--to") from error
    with click.progressbar(length=1000, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def tell(done: int, total: int) -> None:
            bar.update(done * 1000 // total - bar.pos)

        done = copy_database(url, now=utcnow(), actor="console", tell=tell)
    broken = "".join(f"\nBroken here and before: {place}" for place in done["broken"])
    return done, (
        f"Copied {done['rows']} rows of {done['tables']} tables and read them back;"
        f" {done['sealed_facts']} sealed facts and {done['sealed_acts']} sealed acts verify there.{broken}\n"
        f"{_after_copy()}"
    )


@click.command()
@click.option("--mail-to", metavar="ADDRESS", help="Send a mail there, and tell what the server says.")
@click.option(
    "--messages",
    "folder",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Put the messages that are checked there.",
)
@report
def doctor(mail_to: str | None, folder: Path | None) -> tuple[object, str, int]:
    """Show every setting with its source, and what is wrong; exit 1 when something has failed."""
    return run_checks(utcnow(), mail_to, folder)


@click.command()
@report
def demo() -> tuple[object, str]:
    """Fill an empty database with lists, subscribers and sent campaigns to look at."""
    counts = fill_database(utcnow())
    return counts, "Made " + ", ".join(f"{number} {what}" for what, number in counts.items()) + "."


def _work_until_idle() -> None:
    try:
        click.echo(f"{work_until_idle()} mails accepted; nothing more is due.")
    except JobsFailed as error:
        raise CommandRefused(error) from error


def _after_copy() -> str:
    """Say what makes the copy the database; until then two could send the same mails."""
    folder = current_settings().instance_path
    keys = [
        f"  NEWSLETTER_{name.upper()}_FILE={folder / name}"
        for name in ("secret_key", "suppression_key")
        if current_settings().sources.get(name) == "instance folder"
    ]
    lines = ["Now set NEWSLETTER_DATABASE_URL to the new database", *keys]
    return "\n".join([*lines, "and move the old file away before you start: both would send what is due."])


def _current_app_object() -> Flask:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - Flask's documented way out of the context
    return app


def _check_start(host: str, port: int) -> None:
    try:
        supervisor.require_free_port(host, port)
        # Read once before the start: a loader that cannot read them stores nothing.
        Networks.of(current_settings().relay_ranges, current_settings().scanner_ranges)
    except StartRefused as error:
        raise CommandRefused(error) from error


def _set_default_base_url(host: str, port: int) -> None:
    """Without BASE_URL the pages are where we listen: for this process, its forks and later commands."""
    chosen = current_settings()
    if "base_url" in chosen.sources:
        return
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not listened on
    base_url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
    save_base_url(chosen.instance_path, base_url)
    current_app.config["NEWSLETTER"] = replace(chosen, base_url=base_url)


def _prepare_first_run() -> str:
    """Make what a newcomer needs, and return what to tell them: where to go."""
    base_url = current_settings().base_url
    create_default_lists(utcnow())
    lines = [f"Subscribe   {base_url}/subscribe"]
    if current_settings().uses_mailbox and current_settings().is_local:
        lines.append(f"Mailbox     {base_url}/mailbox   (no mail server is set: mails stay here)")
    lines.append(f"Staff       {base_url}/staff/")
    if not has_staff():
        address = invitation_url(invite(Role.ADMIN, address=None, now=utcnow(), actor="console"))
        lines.append(f"First account, with a link that works once:\n            {address}")
    db.session.commit()
    db.session.remove()
    return "\n".join(["", *lines, "", "Ctrl-C stops everything.", ""])
