"""The application for any WSGI server: ``wsgi:app``."""

from newsletter import create_app
from newsletter.web import logs

logs.configure()
app = create_app()
