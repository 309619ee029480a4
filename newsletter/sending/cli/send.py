"""``newsletter campaigns send`` and ``status``."""

import sys
from datetime import timedelta
from time import sleep

import click
import sqlalchemy as sa

from newsletter.campaigns.drafts import get_campaign
from newsletter.campaigns.models import Campaign, CampaignStatus, HeldReason
from newsletter.cli.report import report
from newsletter.clock import utcnow
from newsletter.config import settings
from newsletter.db import db
from newsletter.mail.deliverability import status as deliverability_status
from newsletter.sending.lifecycle.local_time import read_moment
from newsletter.sending.lifecycle.progress import progress_of
from newsletter.sending.lifecycle.release import release
from newsletter.sending.lifecycle.send_window import LONGEST_SPREAD
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.worker.circuit_breaker import why_paused
from newsletter.sending.worker.undelivered import leave_uncertain, page_of_undelivered, send_again
from newsletter.sending.worker.warmup import today

_LOOK_SECONDS = 0.5
_LONGEST = LONGEST_SPREAD // timedelta(hours=1)
_ON = "Send it now or choose another time: newsletter campaigns send {id} [--at TIME]"
#: What a schedule that waits for a person says.
_HELD = {
    HeldReason.LATE: "It was found more than two hours after its time and was not sent. " + _ON,
    HeldReason.REFUSED: "It could not be sent at its time: newsletter campaigns check {id}. " + _ON,
}


@click.command("send")
@click.argument("campaign_id", type=int)
@click.option("--at", "time", help="When, in the business time zone: 2027-01-15 09:00, or with an offset.")
@click.option("--recipients", type=int, help="Refuse unless it would reach exactly this many.")
@click.option("--over", "hours", type=click.IntRange(1, _LONGEST), help="Spread them over so many hours.")
@click.option("--despite-preflight", "despite", is_flag=True, help="Send although mail may not arrive.")
@click.option("--wait", is_flag=True, help="Show a bar until every mail has been handled.")
@report
def send(
    campaign_id: int,
    *,
    time: str | None,
    recipients: int | None,
    hours: int | None,
    despite: bool,
    wait: bool,
) -> tuple[object, str]:
    """Send a draft to everyone on its lists, now or at a time."""
    at, over = read_moment(time) if time else None, timedelta(hours=hours) if hours else None
    deliverability_status.refresh_if_due(utcnow())
    campaign = release(
        campaign_id, at=at, now=utcnow(), actor="console", typed=recipients, over=over, despite=despite
    )
    db.session.commit()
    data = {
        "id": campaign.id,
        "status": campaign.status.value,
        "recipients": campaign.totals.recipients,
        "scheduled_at": campaign.scheduled_at.isoformat() if campaign.scheduled_at else None,
    }
    if campaign.started_at and wait:
        _follow(campaign)
    return data, _released(campaign)


def _released(campaign: Campaign) -> str:
    follow = f"Follow it: newsletter campaigns status {campaign.id}"
    if campaign.started_at:
        recipients = campaign.totals.recipients
        spread = f", spread over {campaign.spread_minutes // 60} hours" if campaign.spread_minutes else ""
        return f"Campaign {campaign.id} is on its way to {recipients} recipients{spread}. {follow}"
    if campaign.status is CampaignStatus.SCHEDULED and campaign.scheduled_at:
        local = campaign.scheduled_at.astimezone(settings().timezone)
        return f"Campaign {campaign.id} is scheduled for {local:%Y-%m-%d %H:%M %z}. {follow}"
    return f"Campaign {campaign.id} waits for a second person to agree, on its page."


def _follow(campaign: Campaign) -> None:
    """Draw a bar on stderr while the workers send; Ctrl-C ends the bar, not the campaign."""
    # On stderr, so that --json stays JSON.
    with click.progressbar(length=campaign.totals.recipients, label="Handled", file=sys.stderr) as bar:
        while True:
            so_far = progress_of(campaign).handled
            status = get_campaign(campaign.id).status
            db.session.rollback()
            bar.update(so_far - bar.pos)
            if status is not CampaignStatus.SENDING:
                return
            sleep(_LOOK_SECONDS)


@click.command("status")
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
    limit = today(utcnow()) if campaign.status is CampaignStatus.SENDING else None
    reason = why_paused(campaign)
    shown = ", ".join(f"{number} {state}" for state, number in deliveries.items() if number)
    return (
        {
            "id": campaign.id,
            "status": campaign.status.value,
            "subject": campaign.subject,
            "scheduled_at": campaign.scheduled_at.isoformat() if campaign.scheduled_at else None,
            "held": campaign.held_reason.value if campaign.held_reason else None,
            "paused_for": campaign.pause_reason if reason else None,
            "deliveries": deliveries,
            "todays_ceiling": limit.ceiling if limit else None,
        },
        f"Campaign {campaign.id}, {campaign.subject}: {campaign.status.value}"
        + (f" ({shown})" if shown else "")
        + (
            f". It goes on tomorrow: today's ceiling of {limit.ceiling} is reached"
            if limit and limit.is_reached
            else ""
        )
        + (f". {reason}" if reason else "")
        + (f" The server said: {campaign.pause_reply}" if reason and campaign.pause_reply else "")
        + (f". {_HELD[campaign.held_reason].format(id=campaign.id)}" if campaign.held_reason else ""),
    )


@click.command("undelivered")
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


@click.command("send-again")
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


@click.command("leave-uncertain")
@click.argument("campaign_id", type=int)
@report
def leave(campaign_id: int) -> tuple[object, str]:
    """Decide that what is uncertain stays as it is."""
    number = leave_uncertain(campaign_id, now=utcnow(), actor="console")
    db.session.commit()
    return {"id": campaign_id, "left": number}, f"{number} uncertain deliveries are left as they are."


#: What is added to the group of campaigns.
COMMANDS = (send, status, undelivered, again, leave)
