"""What tracking adds to the application: the gateway in front of Flask."""

from flask import Flask

from newsletter.config import Settings
from newsletter.tracking.gateway import TrackingGateway


def register(app: Flask, settings: Settings) -> None:
    """Answer opens and clicks before Flask sees them."""
    app.wsgi_app = TrackingGateway(app.wsgi_app, app, settings)  # type: ignore[method-assign]
