"""What running adds to the application: health, alerts, the work of each wake-up, commands."""

from flask import Flask

from newsletter.config import Settings
from newsletter.running import cli, periodic
from newsletter.running.monitoring import alert_views, health


def register(app: Flask, _settings: Settings) -> None:
    """Add pages and commands, and say what each wake-up does."""
    periodic.init_app(app)
    health.init_app(app)
    app.register_blueprint(alert_views.bp)
    for command in (cli.run, cli.web, cli.worker, cli.database, cli.doctor, cli.demo):
        app.cli.add_command(command)
