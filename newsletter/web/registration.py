"""What the foundation adds to the application: database, languages, limits, headers, error pages."""

from flask import Flask

from newsletter import db, wakeups
from newsletter.config import Settings
from newsletter.ratelimit import limiter
from newsletter.web import app as pages
from newsletter.web import i18n, request_log


def register(app: Flask, settings: Settings) -> None:
    """Set up what every other package builds on."""
    db.init_app(app)
    wakeups.init_app(app, settings)
    i18n.init_app(app, settings)
    limiter.init_app(app, settings)
    pages.init_app(app)
    request_log.init_app(app)
