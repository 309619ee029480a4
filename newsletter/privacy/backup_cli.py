"""``newsletter backup`` and ``newsletter restore``."""

from pathlib import Path

import click

from newsletter.clock import utcnow
from newsletter.console import report
from newsletter.privacy.backup import backup as make_backup
from newsletter.privacy.backup import restore as put_back

_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.command()
@_file
@report
def backup(file: Path) -> tuple[object, str]:
    """Write a checked copy of the database to FILE, beside a busy writer. The keys are not in it."""
    made = make_backup(file, now=utcnow(), actor="console")
    return (
        made,
        f"Wrote {made['file']}, {made['bytes']} bytes. Keep the keys and the journal apart.",
    )


@click.command()
@_file
@click.confirmation_option(prompt="This replaces the whole database. Go on?")
@report
def restore(file: Path) -> tuple[object, str]:
    """Put FILE in the place of the database, and erase again whoever was erased since."""
    done = put_back(file, now=utcnow(), actor="console")
    return done, f"Restored. Erased again: {done['erased_again']} people."
