"""``newsletter backup`` and ``newsletter restore``."""

from pathlib import Path

import click

from newsletter.cli.report import report
from newsletter.clock import utcnow
from newsletter.privacy.backup.database import create_backup, restore_backup

_file_argument = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.command()
@_file_argument
@report
def backup(file: Path) -> tuple[object, str]:
    """Write a checked copy of the database to FILE, beside a busy writer. The keys are not in it."""
    made = create_backup(file, now=utcnow(), actor="console")
    return (
        made,
        f"Wrote {made['file']}, {made['bytes']} bytes. Keep the keys and the journal apart.",
    )


@click.command()
@_file_argument
@click.option(
    "--journal",
    "journals",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The journal of another machine, to be taken in first; may be given several times.",
)
@click.confirmation_option(prompt="This replaces the whole database. Go on?")
@report
def restore(file: Path, journals: tuple[Path, ...]) -> tuple[object, str]:
    """Put FILE in the place of the database, and do again what people have wished since."""
    done = restore_backup(file, now=utcnow(), actor="console", journals=journals)
    return done, (
        f"Restored. Again: {done['erased_again']} people erased, {done['left_again']} left,"
        f" {done['refused_again']} refused measuring, {done['restricted_again']} restricted;"
        f" {done['barred_again']} addresses barred; {done['requests_again']} requests in the register;"
        f" {done['access_ended_again']} staff accounts and tokens ended.\n"
        f"Held: {done['moved_held']} people had another address by then; nothing is sent to the old one, and"
        " the register of requests names them.\n"
        f"Stopped, as they may have gone out since: {done['campaigns_paused']} newsletters paused,"
        f" {done['schedules_held']} schedules held. Resume or cancel them yourself.\n"
        f"The last act in the backup: {done['last_act_at'] or 'none'}. Not in it, and for you to put right:"
        " subscriptions confirmed since (these people have to sign up again), what requests since said, and"
        " passwords and levels of staff. Look into the mailbox of the privacy contact."
    )
