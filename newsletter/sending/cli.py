"""``newsletter campaigns send`` and ``status``."""

import click
import sqlalchemy as sa

from newsletter.campaigns.cli import campaigns
from newsletter.campaigns.drafts import get_campaign
from newsletter.clock import utcnow
from newsletter.console import report
from newsletter.db import db
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.start import start_campaign
from newsletter.sending.undelivered import leave_uncertain, page_of_undelivered, send_again


@campaigns.command("send")
@click.argument("campaign_id", type=int)
@report
def send(campaign_id: int) -> tuple[object, str]:
    """Send a draft to everyone on its lists."""
    campaign = start_campaign(campaign_id, now=utcnow(), actor="console")
    db.session.commit()
    recipients = campaign.totals.recipients
    text = f"Campaign {campaign.id} is on its way to {recipients} recipients."
    text += f" Follow it: newsletter campaigns status {campaign.id}"
    return {"id": campaign.id, "status": campaign.status.value, "recipients": recipients}, text


@campaigns.command("status")
@click.argument("campaign_id", type=int)
@report
def status(campaign_id: int) -> tuple[object, str]:
    """Show how far a campaign is."""
    campaign = get_campaign(campaign_id)
    counted = (
        sa.select(Delivery.status, sa.func.count())
        .where(Delivery.campaign_id == campaign.id)
        .group_by(Delivery.status)
    )
    found = dict(db.session.execute(counted).all())
    deliveries = {state.value: found.get(state, 0) for state in DeliveryStatus}
    shown = ", ".join(f"{number} {state}" for state, number in deliveries.items() if number)
    return (
        {
            "id": campaign.id,
            "status": campaign.status.value,
            "subject": campaign.subject,
            "deliveries": deliveries,
        },
        f"Campaign {campaign.id}, {campaign.subject}: {campaign.status.value}"
        + (f" ({shown})" if shown else ""),
    )


@campaigns.command("undelivered")
@click.argument("campaign_id", type=int)
@click.option("--after", default=0, help="Begin behind this subscriber.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@report
def undelivered(campaign_id: int, after: int, limit: int) -> tuple[object, str]:
    """List what failed and what is uncertain."""
    get_campaign(campaign_id)
    rows = [
        {
            "subscriber_id": item.delivery.subscriber_id,
            "address": item.masked,
            "status": item.delivery.status.value,
            "attempts": item.delivery.attempts,
            "reply_code": item.delivery.reply_code,
            "reply_text": item.delivery.reply_text,
        }
        for item in page_of_undelivered(campaign_id, after=after, size=limit)
    ]
    lines = [
        f"{row['subscriber_id']}  {row['status']:<9}  {row['address'] or '-'}"
        f"  {row['reply_code'] or ''} {row['reply_text'] or ''}".rstrip()
        for row in rows
    ]
    return {"undelivered": rows}, "\n".join(lines) or "Nothing failed and nothing is uncertain."


@campaigns.command("send-again")
@click.argument("campaign_id", type=int)
@click.option("--failed", "status", flag_value=DeliveryStatus.FAILED.value, help="What failed.")
@click.option(
    "--uncertain",
    "status",
    flag_value=DeliveryStatus.UNCERTAIN.value,
    help="What is uncertain: some people will get it twice.",
)
@report
def again(campaign_id: int, status: str | None) -> tuple[object, str]:
    """Send again what failed, or what is uncertain."""
    if status is None:
        raise click.UsageError("Say --failed or --uncertain.")
    number = send_again(campaign_id, DeliveryStatus(status), now=utcnow(), actor="console")
    db.session.commit()
    return {"id": campaign_id, "queued": number}, f"{number} deliveries are back in the queue."


@campaigns.command("leave-uncertain")
@click.argument("campaign_id", type=int)
@report
def leave(campaign_id: int) -> tuple[object, str]:
    """Decide that what is uncertain stays as it is."""
    number = leave_uncertain(campaign_id, now=utcnow(), actor="console")
    db.session.commit()
    return {"id": campaign_id, "left": number}, f"{number} uncertain deliveries are left as they are."
