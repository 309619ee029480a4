"""What mail adds to the application: Flask-Mail, and the mailbox for trying out."""

from flask import Flask

from newsletter.config import Settings
from newsletter.mail import backends, dev_mailbox


def register(app: Flask, _settings: Settings) -> None:
    """Set Flask-Mail up and add the pages of the built-in mailbox."""
    backends.init_app(app)
    app.register_blueprint(dev_mailbox.bp)
