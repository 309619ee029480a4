"""What the figures need each minute beside the loading of hits."""

from datetime import datetime

from newsletter.config import settings
from newsletter.db import db
from newsletter.stats.rollups import click_bursts, list_growth, segments
from newsletter.stats.rollups.funnel_months import close_months
from newsletter.tracking.addresses import cut_if_due


def keep_up(now: datetime) -> None:
    """Count groups, lists and months, forget what is recent no longer, cut addresses. Commits as it goes."""
    segments.count_due(now)
    list_growth.count_days(now)
    close_months(now.astimezone(settings().timezone).date())
    click_bursts.forget(now)
    db.session.commit()
    cut_if_due(now)
