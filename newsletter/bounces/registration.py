"""What bounces add to the application: webhooks of relays, commands."""

from flask import Flask

from newsletter.bounces import views
from newsletter.bounces.cli import bounces
from newsletter.config import Settings
from newsletter.web.csrf import csrf


def register(app: Flask, _settings: Settings) -> None:
    """Add webhooks, whose authority is a signature, and commands."""
    csrf.exempt(views.bp)
    app.register_blueprint(views.bp)
    app.cli.add_command(bounces)
