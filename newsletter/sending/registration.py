"""What sending adds to the application: the pages and commands that let a campaign go."""

from flask import Flask

from newsletter.campaigns.cli import campaigns
from newsletter.config import Settings
from newsletter.sending.cli import control
from newsletter.sending.cli import send as send_commands
from newsletter.sending.views import send, undelivered


def register(app: Flask, _settings: Settings) -> None:
    """Add pages, and commands to the group of campaigns."""
    app.register_blueprint(send.bp)
    app.register_blueprint(undelivered.bp)
    for command in (*send_commands.COMMANDS, *control.COMMANDS):
        campaigns.add_command(command)
