"""A newsletter backend with double opt-in. ``create_app`` wires it and decides nothing."""

from flask import Flask
from flask_wtf import CSRFProtect
from jinja2 import StrictUndefined
from werkzeug.middleware.proxy_fix import ProxyFix

from newsletter import db, wakeups
from newsletter.api import cli as api_cli
from newsletter.api import openapi as api_document
from newsletter.api import subscriptions as api_subscriptions
from newsletter.bounces import views as bounce_views
from newsletter.bounces.cli import bounces
from newsletter.campaigns import archive_views, drafts
from newsletter.campaigns import staff_views as writing_views
from newsletter.campaigns.cli import campaigns
from newsletter.config import Settings, data_folder
from newsletter.mail import backends, dev_mailbox
from newsletter.privacy import cli as privacy_cli
from newsletter.privacy.backup import cli
from newsletter.privacy.requests import letters, self_service
from newsletter.privacy.views import audit_log, duties, office, public_requests, requests
from newsletter.privacy.views import notice as privacy_views
from newsletter.privacy.views import proof as privacy_staff_views
from newsletter.privacy.views import self_service as own_data_views
from newsletter.ratelimit import limiter
from newsletter.running import alert_views, health, periodic
from newsletter.running import cli as running_cli
from newsletter.sending.cli import control
from newsletter.sending.cli import send as sending_cli
from newsletter.sending.views import send
from newsletter.sending.views import undelivered as sending_staff_views
from newsletter.staff import cli as staff_cli
from newsletter.staff import tokens_cli
from newsletter.staff.auth import access, guard
from newsletter.staff.views import account, admin, openid, passkeys
from newsletter.staff.views import login as staff_views
from newsletter.stats.reports import cli as stats_cli
from newsletter.stats.rollups import cli as rollups_cli
from newsletter.stats.rollups import funnel_months, ingest
from newsletter.stats.views import bounces as bounce_pages
from newsletter.stats.views import campaigns as stats_views
from newsletter.stats.views import funnel as views_funnel
from newsletter.stats.views import lists as views_lists
from newsletter.stats.views import subscriber_activity
from newsletter.subscribers import cli as subscribers_cli
from newsletter.subscribers import lists
from newsletter.subscribers.public import mailbox_links
from newsletter.subscribers.public import routes as subscribers_views
from newsletter.subscribers.public.fast_path import SignupLane
from newsletter.subscribers.signup import funnel, queue
from newsletter.subscribers.staff import embed, manual_signup, people
from newsletter.subscribers.staff import lists as staff_lists
from newsletter.subscribers.staff import undelivered as subscribers_staff_views
from newsletter.tracking.gateway import TrackingGateway
from newsletter.web import app as web_app
from newsletter.web import i18n

__all__ = ["create_app"]

csrf = CSRFProtect()
#: What the parts of staff addresses name, and how it is held to the lists of those limited to some.
HELD: dict[str, guard.Require] = {
    "campaign_id": drafts.require_within,
    "slug": lists.require_within,
}


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application of these settings, or of those in the environment.

    Raises SettingsInvalid, naming every setting that is wrong.
    """
    chosen = settings or Settings.load()
    app = web_app.Application(
        __name__,
        template_folder=str(data_folder("templates")),
        instance_path=str(chosen.instance_path),
    )
    app.config.update(_flask_settings(chosen))
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    db.init_app(app)
    for part in (wakeups, i18n, limiter):
        part.init_app(app, chosen)
    for plain_part in (web_app, backends, periodic, health, funnel, queue):
        plain_part.init_app(app)
    writing_views.init_app(app)  # before whoever reads the form: pictures are larger than forms
    access.init_app(app, chosen)
    guard.init_app(app, HELD)  # after web: it asks the database within the request's transaction
    csrf.init_app(app)
    _add_pages(app, chosen)
    _add_commands(app)
    ingest.listen()
    funnel_months.listen()
    letters.listen()
    self_service.listen()
    return app


def _flask_settings(chosen: Settings) -> dict[str, object]:
    return {
        "NEWSLETTER": chosen,
        "SECRET_KEY": chosen.secret_key,
        "SECRET_KEY_FALLBACKS": list(chosen.secret_key_fallbacks),
        "SQLALCHEMY_DATABASE_URI": chosen.database_url,
        # An error of the database must not carry addresses into the log.
        "SQLALCHEMY_ENGINE_OPTIONS": db.engine_options(chosen.database_url) | {"hide_parameters": True},
        "MAIL_SERVER": chosen.mail_server or "localhost",
        "MAIL_PORT": chosen.mail_port,
        "MAIL_USE_TLS": chosen.mail_use_tls,
        "MAIL_USE_SSL": chosen.mail_use_ssl,
        "MAIL_USERNAME": chosen.mail_username or None,
        "MAIL_PASSWORD": chosen.mail_password or None,
        # A form has a handful of fields; nothing here takes an upload.
        "MAX_CONTENT_LENGTH": 1_000_000,
        "WTF_CSRF_TIME_LIMIT": None,
    }


def _add_pages(app: Flask, chosen: Settings) -> None:
    # Their token is their authority, and one-click unsubscribing must work without any cookie.
    for by_token in (subscribers_views, mailbox_links, own_data_views, public_requests, bounce_views):
        csrf.exempt(by_token.bp)
    for api_part in (api_subscriptions.bp, *api_document.RESOURCES):
        csrf.exempt(api_part)  # it knows no cookie
    for part in (
        subscribers_views,
        api_subscriptions,
        mailbox_links,
        privacy_views,
        public_requests,
        own_data_views,
        staff_views,
        stats_views,
        writing_views,
        send,
        archive_views,
        bounce_views,
        dev_mailbox,
    ):
        app.register_blueprint(part.bp)
    for staff_part in (
        account, passkeys, openid, admin, staff_lists, manual_signup, people,
        subscribers_staff_views, sending_staff_views,
        embed, privacy_staff_views, requests, duties, audit_log, office,
        views_funnel, views_lists, subscriber_activity, alert_views, bounce_pages,
    ):  # fmt: skip
        app.register_blueprint(staff_part.bp)
    api_document.init_app(app)
    app.wsgi_app = SignupLane(app.wsgi_app, app)  # type: ignore[method-assign]
    app.wsgi_app = TrackingGateway(app.wsgi_app, app, chosen)  # type: ignore[method-assign]
    if chosen.proxy_hops:
        hops = chosen.proxy_hops
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]


def _add_commands(app: Flask) -> None:
    for name in ("run", "web", "worker", "database", "doctor", "demo"):
        app.cli.add_command(getattr(running_cli, name))
    for command in (cli.backup, cli.restore):
        app.cli.add_command(command)
    # Sending and figures add their commands to the group of campaigns when they are imported.
    assert {"send", "pause", "stats"} <= set(campaigns.commands), (sending_cli, control, stats_cli)  # noqa: S101
    for group in (
        subscribers_cli.lists, subscribers_cli.subscribers, campaigns, privacy_cli.privacy, staff_cli.staff,
        rollups_cli.stats, tokens_cli.tokens, api_cli.webhooks, bounces,
    ):  # fmt: skip
        app.cli.add_command(group)
