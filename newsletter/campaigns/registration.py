"""What campaigns add to the application: writing, the archive, commands."""

from flask import Flask

from newsletter.campaigns import archive_views, drafts, staff_views
from newsletter.campaigns.cli import campaigns
from newsletter.config import Settings
from newsletter.staff.auth import guard


def register(app: Flask, _settings: Settings) -> None:
    """Add pages and commands."""
    guard.limit_to_lists(app, "campaign_id", drafts.require_campaign_access)
    app.register_blueprint(staff_views.bp)
    app.register_blueprint(archive_views.bp)
    app.cli.add_command(campaigns)
