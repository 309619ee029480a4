"""What campaigns add to the application: writing, the archive, commands."""

from flask import Flask

from newsletter.campaigns import drafts
from newsletter.campaigns.cli import campaigns
from newsletter.campaigns.views import archive, writing
from newsletter.config import Settings
from newsletter.staff.auth import guard


def register(app: Flask, _settings: Settings) -> None:
    """Add pages and commands."""
    guard.limit_to_lists(app, "campaign_id", drafts.require_campaign_access)
    app.register_blueprint(writing.bp)
    app.register_blueprint(archive.bp)
    app.cli.add_command(campaigns)
