"""What the API adds to the application: its resources, their document, webhooks."""

from flask import Flask

from newsletter.api import cli, openapi
from newsletter.api.resources import subscriptions
from newsletter.config import Settings
from newsletter.web.csrf import csrf


def register(app: Flask, _settings: Settings) -> None:
    """Add the resources. They know no cookie, so a forged form has nothing to borrow."""
    for resource in (subscriptions.bp, *openapi.RESOURCES):
        csrf.exempt(resource)
    app.register_blueprint(subscriptions.bp)
    openapi.init_app(app)
    app.cli.add_command(cli.webhooks)
