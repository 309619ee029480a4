"""``newsletter privacy …``."""

import click
from flask.cli import AppGroup

from newsletter.clock import utcnow
from newsletter.console import report
from newsletter.db import db
from newsletter.privacy.erasure import erase_person
from newsletter.privacy.purge import preview
from newsletter.privacy.purge import purge as run_purge

privacy = AppGroup("privacy", help="Purge, erase, and prove.")


@privacy.command("purge")
@click.option("--dry-run", is_flag=True, help="Only count what would go.")
@click.option("--any-day", is_flag=True, help="Run although it is not January.")
@report
def purge(dry_run: bool, any_day: bool) -> tuple[object, str]:  # noqa: FBT001 - click passes flags
    """Delete everyone who left, and the raw opens and clicks of past years."""
    if dry_run:
        counts = preview(utcnow())
        db.session.rollback()
        return counts | {"dry_run": True}, "Would delete: " + _in_words(counts)
    counts = run_purge(now=utcnow(), actor="console", any_day=any_day)
    return counts | {"dry_run": False}, "Deleted: " + _in_words(counts)


@privacy.command("erase")
@click.argument("address")
@report
def erase(address: str) -> tuple[object, str]:
    """Erase one person at once."""
    counts = erase_person(address, now=utcnow(), actor="console")
    return counts, "Erased: " + _in_words(counts)


def _in_words(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in counts.items())
