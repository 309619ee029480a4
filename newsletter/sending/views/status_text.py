"""Sentences for the pages: why a campaign being sent is limited on purpose."""

from datetime import datetime, timedelta

from flask_babel import gettext as _

from newsletter.campaigns.models import Campaign, CampaignStatus
from newsletter.sending.worker.warmup import daily_limit
from newsletter.web.i18n import format_datetime, format_number


def status_sentences(campaign: Campaign, now: datetime) -> list[str]:
    """Return a sentence for each limit in force: warm-up, spreading over time."""
    if campaign.status is not CampaignStatus.SENDING or campaign.started_at is None:
        return []
    words = []
    limit = daily_limit(now)
    if limit is not None and limit.is_reached:
        shown = format_number(limit.ceiling)
        words.append(_("It goes on tomorrow: today's ceiling of %(count)s mails is reached.", count=shown))
    elif limit is not None:
        shown = format_number(limit.ceiling)
        words.append(_("Warming up: today's ceiling is %(count)s mails.", count=shown))
    if campaign.spread_minutes:
        until = campaign.started_at + timedelta(minutes=campaign.spread_minutes)
        words.append(_("The recipients are spread over time, until %(time)s.", time=format_datetime(until)))
    return words
