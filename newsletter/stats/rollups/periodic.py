"""Periodic work on the figures, once a minute, beside the loading of hits."""

from datetime import datetime

from newsletter.config import current_settings
from newsletter.db import db
from newsletter.stats.rollups import click_bursts, list_growth, segments
from newsletter.stats.rollups.funnel_months import close_months
from newsletter.tracking.addresses import truncate_if_due


def run_periodic_tasks(now: datetime) -> None:
    """Count segments, lists and months, delete old clicks, truncate IP addresses. Commits as it goes."""
    segments.count_due_segments(now)
    list_growth.count_list_days(now)
    close_months(now.astimezone(current_settings().timezone).date())
    click_bursts.delete_old_clicks(now)
    db.session.commit()
    truncate_if_due(now)
