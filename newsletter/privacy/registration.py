"""What privacy adds to the application: the notice, requests of data subjects, duties, backups."""

from flask import Flask

from newsletter.config import Settings
from newsletter.privacy.backup import cli as backup_cli
from newsletter.privacy.cli import privacy
from newsletter.privacy.requests import letters
from newsletter.privacy.requests import self_service as own_requests
from newsletter.privacy.views import (
    audit_log,
    duties,
    notice,
    office,
    proof,
    public_requests,
    requests,
    self_service,
)
from newsletter.web.csrf import csrf


def register(app: Flask, _settings: Settings) -> None:
    """Add pages and commands, and hear of letters that have gone and of changed addresses."""
    for public in (public_requests, self_service):
        csrf.exempt(public.bp)
    for views in (notice, public_requests, self_service, proof, requests, duties, audit_log, office):
        app.register_blueprint(views.bp)
    for command in (privacy, backup_cli.backup, backup_cli.restore):
        app.cli.add_command(command)
    letters.listen()
    own_requests.listen()
