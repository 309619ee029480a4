"""A newsletter backend with double opt-in. ``create_app`` wires it and decides nothing."""

from flask import Flask
from jinja2 import StrictUndefined
from werkzeug.middleware.proxy_fix import ProxyFix

from newsletter.api import registration as api
from newsletter.bounces import registration as bounces
from newsletter.campaigns import registration as campaigns
from newsletter.config import Settings, data_folder
from newsletter.db import engine_options
from newsletter.mail import registration as mail
from newsletter.privacy import registration as privacy
from newsletter.running import registration as running
from newsletter.sending import registration as sending
from newsletter.staff import registration as staff
from newsletter.stats import registration as stats
from newsletter.subscribers import registration as subscribers
from newsletter.tracking import registration as tracking
from newsletter.web import registration as web
from newsletter.web.app import Application

__all__ = ["create_app"]

#: From the ground up: a package may use what stands before it.
PACKAGES = (
    web,
    mail,
    staff,
    subscribers,
    campaigns,
    tracking,
    sending,
    bounces,
    stats,
    privacy,
    api,
    running,
)


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application of these settings, or of those in the environment.

    Raises SettingsInvalid, naming every setting that is wrong.
    """
    chosen = settings or Settings.load()
    app = Application(
        __name__,
        template_folder=str(data_folder("templates")),
        instance_path=str(chosen.instance_path),
    )
    app.config.update(_flask_settings(chosen))
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    for package in PACKAGES:
        package.register(app, chosen)
    if chosen.proxy_hops:
        hops = chosen.proxy_hops
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app


def _flask_settings(chosen: Settings) -> dict[str, object]:
    return {
        "NEWSLETTER": chosen,
        "SECRET_KEY": chosen.secret_key,
        "SECRET_KEY_FALLBACKS": list(chosen.secret_key_fallbacks),
        "SQLALCHEMY_DATABASE_URI": chosen.database_url,
        # An error of the database must not carry addresses into the log.
        "SQLALCHEMY_ENGINE_OPTIONS": engine_options(chosen.database_url) | {"hide_parameters": True},
        "MAIL_SERVER": chosen.mail_server or "localhost",
        "MAIL_PORT": chosen.mail_port,
        "MAIL_USE_TLS": chosen.mail_use_tls,
        "MAIL_USE_SSL": chosen.mail_use_ssl,
        "MAIL_USERNAME": chosen.mail_username or None,
        "MAIL_PASSWORD": chosen.mail_password or None,
        # A form has a handful of fields; a view that takes an upload says how large it may be.
        "MAX_CONTENT_LENGTH": 1_000_000,
        "WTF_CSRF_TIME_LIMIT": None,
    }
