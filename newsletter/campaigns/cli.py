"""``newsletter campaigns create``, ``edition``, ``duplicate``, ``list`` and ``show``.

Sending and figures add their commands to the same group.
"""

from pathlib import Path

import click
import sqlalchemy as sa
from flask.cli import AppGroup

from newsletter.campaigns.drafts import create_campaign, get_campaign, get_campaign_lists
from newsletter.campaigns.editing import add_edition, duplicate_campaign, save_edition
from newsletter.campaigns.models import Campaign
from newsletter.cli.report import report
from newsletter.clock import utcnow
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


@campaigns.command("edition")
@click.argument("campaign_id", type=int)
@click.option("--language", required=True, help="Its language.")
@click.option("--subject", required=True, help="The subject line.")
@click.option("--body", "path", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="The text, a Markdown file.")  # fmt: skip
@click.option("--preview", default="", help="The line mailboxes show beside the subject.")
@report
def edition(campaign_id: int, *, language: str, subject: str, path: Path, preview: str) -> tuple[object, str]:
    """Write a draft in one more language, or write an edition anew."""
    campaign = get_campaign(campaign_id)
    found = next((item for item in campaign.editions if item.language == language), None)
    written = found or add_edition(campaign_id, language, now=utcnow(), actor="console")
    saved = save_edition(
        campaign_id,
        language,
        version=written.version,
        subject=subject,
        preview=preview,
        body=read_text(path),
        now=utcnow(),
        actor="console",
    )
    db.session.commit()
    data = {"id": campaign.id, "language": language, "version": saved.version}
    return data, f"Campaign {campaign.id} has an edition in {language}."


@campaigns.command("duplicate")
@click.argument("campaign_id", type=int)
@report
def duplicate(campaign_id: int) -> tuple[object, str]:
    """Make a draft with the words and lists of a campaign."""
    made = duplicate_campaign(campaign_id, now=utcnow(), actor="console")
    db.session.commit()
    return {"id": made.id}, f"Campaign {made.id} is a draft with the words of campaign {campaign_id}."


@campaigns.command("list")
@click.option("--limit", default=20, show_default=True, help="How many of the newest.")
@report
def list_campaigns(limit: int) -> tuple[object, str]:
    """Show the newest campaigns."""
    newest = sa.select(Campaign).order_by(Campaign.id.desc()).limit(max(0, limit))
    rows = [_row(campaign) for campaign in db.session.scalars(newest).unique()]
    lines = [f"{row['id']:>6} {row['status']:<10} {row['subject']}" for row in rows]
    return rows, "\n".join(
        lines
    ) or "There are no campaigns yet. Make one: newsletter campaigns create --help"


@campaigns.command("show")
@click.argument("campaign_id", type=int)
@report
def show(campaign_id: int) -> tuple[object, str]:
    """Show a campaign with its lists and editions."""
    campaign = get_campaign(campaign_id)
    data = _row(campaign) | {
        "editions": [
            {"language": item.language, "subject": item.subject, "preview": item.preview, "body": item.body}
            for item in campaign.editions
        ]
    }
    lines = [f"Campaign {campaign.id}: {campaign.status.value}, to {', '.join(_slugs(campaign))}"]
    for item in campaign.editions:
        lines += ["", f"[{item.language}] {item.subject}", item.preview, "", item.body.rstrip()]
    return data, "\n".join(lines)


def _row(campaign: Campaign) -> dict[str, object]:
    return {
        "id": campaign.id,
        "status": campaign.status.value,
        "subject": campaign.subject,
        "lists": _slugs(campaign),
        "scheduled_at": campaign.scheduled_at.isoformat() if campaign.scheduled_at else None,
        "started_at": campaign.started_at.isoformat() if campaign.started_at else None,
    }


def _slugs(campaign: Campaign) -> list[str]:
    return [item.slug for item in get_campaign_lists(campaign)]


def read_text(path: Path) -> str:
    """Return the text of a file; raise FileUnreadable if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileUnreadable(path=path.name) from error
