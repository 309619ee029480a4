"""What subscribers add to the application: the public pages, lists and people for staff, commands."""

from flask import Flask

from newsletter.config import Settings
from newsletter.staff.auth import guard
from newsletter.subscribers import cli, lists
from newsletter.subscribers.public import mailbox_links, routes
from newsletter.subscribers.public.fast_path import SignupFastPath
from newsletter.subscribers.signup import funnel, queue
from newsletter.subscribers.staff import embed, manual_signup, people, undelivered
from newsletter.subscribers.staff import lists as list_views
from newsletter.web.csrf import csrf


def register(app: Flask, _settings: Settings) -> None:
    """Add pages and commands. Plain posts of the form are answered in front of Flask."""
    funnel.init_app(app)
    queue.init_app(app)
    guard.limit_to_lists(app, "slug", lists.require_list_access)
    for public in (routes, mailbox_links):
        csrf.exempt(public.bp)
        app.register_blueprint(public.bp)
    for views in (list_views, manual_signup, people, undelivered, embed):
        app.register_blueprint(views.bp)
    app.cli.add_command(cli.lists)
    app.cli.add_command(cli.subscribers)
    app.wsgi_app = SignupFastPath(app.wsgi_app, app)  # type: ignore[method-assign]
