"""A newsletter backend with double opt-in. ``create_app`` wires it and decides nothing."""

from flask import Flask
from jinja2 import StrictUndefined
from werkzeug.middleware.proxy_fix import ProxyFix

from newsletter.api.registration import register as register_api
from newsletter.bounces.registration import register as register_bounces
from newsletter.campaigns.registration import register as register_campaigns
from newsletter.config import Settings, data_folder
from newsletter.db import engine_options
from newsletter.mail.registration import register as register_mail
from newsletter.privacy.registration import register as register_privacy
from newsletter.running.registration import register as register_running
from newsletter.sending.registration import register as register_sending
from newsletter.staff.registration import register as register_staff
from newsletter.stats.registration import register as register_stats
from newsletter.subscribers.registration import register as register_subscribers
from newsletter.tracking.registration import register as register_tracking
from newsletter.web.app import Application
from newsletter.web.registration import register as register_web

__all__ = ["create_app"]

#: What each package adds, from the ground up: a package may use what stands before it.
PACKAGES = (
    register_web,
    register_mail,
    register_staff,
    register_subscribers,
    register_campaigns,
    register_tracking,
    register_sending,
    register_bounces,
    register_stats,
    register_privacy,
    register_api,
    register_running,
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
    for register in PACKAGES:
        register(app, chosen)
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
