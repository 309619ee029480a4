"""What staff add to the application: signing in, the guard before every page, their accounts."""

from flask import Flask

from newsletter.config import Settings
from newsletter.staff import cli, tokens_cli
from newsletter.staff.auth import access, guard
from newsletter.staff.views import account, admin, login, openid, passkeys
from newsletter.web.csrf import csrf


def register(app: Flask, settings: Settings) -> None:
    """Guard the staff pages. Who may not see a page learns that before its form is looked at."""
    access.init_app(app, settings)
    guard.init_app(app)
    csrf.init_app(app)
    for views in (login, account, passkeys, openid, admin):
        app.register_blueprint(views.bp)
    app.cli.add_command(cli.staff)
    app.cli.add_command(tokens_cli.tokens)
