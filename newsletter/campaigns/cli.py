"""``newsletter campaigns create``; sending and figures add their commands to the same group."""

from pathlib import Path

import click
from flask.cli import AppGroup

from newsletter.campaigns.drafts import create_campaign
from newsletter.clock import utcnow
from newsletter.console import report
from newsletter.db import db
from newsletter.errors import N_, NewsletterError
from newsletter.subscribers.lists import get_lists

campaigns = AppGroup("campaigns", help="Write, send and follow campaigns.")


class FileUnreadable(NewsletterError):
    """The file is not text in UTF-8."""

    message = N_("%(path)s is not text in UTF-8. Save it as UTF-8 and try again.")


@campaigns.command("create")
@click.option("--list", "slugs", multiple=True, required=True, help="A list it goes to; repeat for several.")
@click.option("--subject", required=True, help="The subject line.")
@click.option("--body", "path", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="The text, a Markdown file.")  # fmt: skip
@click.option("--preview", default="", help="The line mailboxes show beside the subject.")
@click.option("--language", help="Its language; that of the first list unless given.")
@report
def create(
    slugs: tuple[str, ...], subject: str, path: Path, preview: str, language: str | None
) -> tuple[object, str]:
    """Make a draft from a Markdown file."""
    lists = get_lists(slugs)
    made = create_campaign(
        lists,
        subject=subject,
        body=read_text(path),
        preview=preview,
        language=language,
        now=utcnow(),
        actor="console",
    )
    db.session.commit()
    return {"id": made.id}, f"Campaign {made.id} is a draft. Send it: newsletter campaigns send {made.id}"


def read_text(path: Path) -> str:
    """Return the text of a file; raise FileUnreadable if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileUnreadable(path=path.name) from error
