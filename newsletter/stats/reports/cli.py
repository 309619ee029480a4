"""``newsletter campaigns stats``."""

from datetime import datetime
from typing import Any

import click

from newsletter.campaigns.drafts import get_campaign
from newsletter.cli.report import report
from newsletter.clock import utcnow
from newsletter.config import settings
from newsletter.db import db
from newsletter.ledger import audit
from newsletter.stats.reports.campaign import SHOWN_ON_TRIAL, Figures, campaign_figures, recent_hits
from newsletter.web.i18n import format_share


@click.command("stats")
@click.argument("campaign_id", type=int)
@click.option(
    "--recent",
    type=click.IntRange(0, 1000),
    help="How many of the newest opens and clicks to list: data of persons, so it is logged. None unless"
    " asked for; 20 while the product is tried out.",
)
@report
def stats(campaign_id: int, recent: int | None) -> tuple[object, str]:
    """Show what was delivered, opened and clicked."""
    campaign = get_campaign(campaign_id)
    if recent is None:
        recent = SHOWN_ON_TRIAL if settings().is_trial else 0
    figures = campaign_figures(campaign, utcnow())
    hits = recent_hits(campaign, recent) if recent > 0 else []
    if recent > 0:
        audit.record(
            "opens and clicks shown", actor="console", now=utcnow(), object=f"campaign:{campaign.id}"
        )
        db.session.commit()
    data = {
        "id": campaign.id,
        "subject": campaign.subject,
        "status": campaign.status.value,
        **figures.as_dict(),
    }
    if recent > 0:
        data["recent"] = [hit | {"at": hit["at"].isoformat()} for hit in hits]
    return data, _as_text(
        f"Campaign {campaign.id}: {campaign.subject} ({campaign.status.value})", figures, hits
    )


def _as_text(heading: str, figures: Figures, hits: list[dict[str, Any]]) -> str:
    base = f"of {figures.measured} who allowed measuring"
    opens, clicks = figures.opens, figures.clicks
    delivery = f"recipients {figures.recipients}, accepted {figures.accepted}, failed {figures.failed}"
    rest = f"skipped {figures.skipped}, uncertain {figures.uncertain}, unsubscribed {figures.unsubscribed}"
    opened = f"opened by {opens.unique_human} ({format_share(figures.open_rate)}) {base}"
    clicked = f"clicked by {clicks.unique_human} ({format_share(figures.click_rate)}) {base}"
    lines = [
        heading,
        f"  {delivery}, {rest}",
        f"  {opened}; machine opens {opens.machine}",
        f"  {clicked}; machine clicks {clicks.machine}",
        *(f"    {link.unique_human:>6} people, {link.human:>6} clicks  {link.url}" for link in figures.links),
    ]
    if hits:
        lines.append("  newest opens and clicks:")
        lines += [
            f"    {_moment(hit['at'])} {hit['kind']:<5} {hit['ip'] or '(relay)'}  {hit['url'] or ''}"
            for hit in hits
        ]
    return "\n".join([*lines, f"  as of {_moment(figures.as_of)}"])


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"
