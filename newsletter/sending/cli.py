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
