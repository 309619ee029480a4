"""The application for any WSGI server: ``wsgi:app``."""

from newsletter import create_app
from newsletter.web import logs

logs.configure()
app = create_app()
chosen = app.config["NEWSLETTER"]
logs.configure("info" if chosen.log_level == "auto" else chosen.log_level, chosen.log_format)
