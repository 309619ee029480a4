"""What figures add to the application: their pages, commands, and what they listen to."""

from flask import Flask

from newsletter.campaigns.cli import campaigns
from newsletter.config import Settings
from newsletter.stats.reports.cli import stats as campaign_stats
from newsletter.stats.rollups import funnel_months, ingest
from newsletter.stats.rollups.cli import stats
from newsletter.stats.views import bounces, funnel, lists, subscriber_activity
from newsletter.stats.views import campaigns as campaign_views


def register(app: Flask, _settings: Settings) -> None:
    """Add pages and commands, and hear of those who leave and of counts that come late."""
    for views in (campaign_views, funnel, lists, subscriber_activity, bounces):
        app.register_blueprint(views.bp)
    campaigns.add_command(campaign_stats)
    app.cli.add_command(stats)
    ingest.listen()
    funnel_months.listen()
