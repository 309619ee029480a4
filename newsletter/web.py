"""What every page shares: the client's address, headers, and how a refusal is shown."""

import logging
from collections.abc import Sequence

from flask import Flask, Response, jsonify, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug.exceptions import HTTPException

from newsletter import db as database
from newsletter.config import settings
from newsletter.errors import LinkExpired, LinkInvalid, NewsletterError, NotFound
from newsletter.i18n import language, translate

log = logging.getLogger(__name__)

CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; connect-src 'self';"
    " frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: The status of a refusal by its kind; any other refusal is 422.
STATUS = {NotFound: 404, LinkInvalid: 404, LinkExpired: 410}


def init_app(app: Flask) -> None:
    """Install headers, error pages and the values every template has."""
    app.context_processor(lambda: {"site": settings()})
    app.before_request(_begin)
    app.after_request(_add_headers)
    app.register_error_handler(NewsletterError, show_refusal)
    app.register_error_handler(HTTPException, show_http_error)


def client_ip() -> str:
    """Return the address of the client, as far as PROXY_HOPS lets us believe it."""
    return request.remote_addr or "0.0.0.0"  # noqa: S104 - "unknown", not a listener


def user_agent() -> str:
    """Return what the browser calls itself, cut to what the evidence needs."""
    return request.user_agent.string[:400]


def message_page(
    heading: str,
    *paragraphs: str,
    actions: Sequence[dict[str, str]] = (),
    tone: str = "info",
    status: int = 200,
) -> Response:
    """Show one honest page with a heading, a few sentences and where to go next."""
    page = render_template(
        "public/message.html", heading=heading, text=paragraphs, actions=actions, tone=tone
    )
    return make_response(page, status)


def show_refusal(error: NewsletterError) -> Response:
    """Turn a refusal into a page, or into JSON for a program."""
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 422)
    log.info("refused", extra={"kind": type(error).__name__})
    text = translate(error.message, error.values)
    if request.path.startswith("/api/"):
        return make_response(jsonify(error=type(error).__name__, message=text), status)
    return message_page(_("This did not work"), text, actions=_ways_on(), tone="problem", status=status)


def show_http_error(error: HTTPException) -> ResponseReturnValue:
    """Show the pages of the protocol's own errors in our words."""
    status = error.code or 500
    if error.response is not None or status < 400:  # noqa: PLR2004 - a redirect, not an error
        return error
    texts = {
        404: _("There is no such page. Check that you copied all of the address."),
        405: _("This page cannot be used that way. Open it again from the link."),
        413: _("What was sent is too large."),
        429: _("Too many attempts. Wait a moment and try again."),
    }
    text = texts.get(status, _("Something went wrong. Try again later."))
    if request.path.startswith("/api/"):
        response = make_response(jsonify(error=error.name, message=text), status)
    else:
        response = message_page(
            _("This did not work"), text, actions=_ways_on(), tone="problem", status=status
        )
    for name, value in error.get_headers():
        if name.lower() in {"allow", "retry-after"}:
            response.headers[name] = value
    return response


def _ways_on() -> list[dict[str, str]]:
    return [
        {
            "label": _("To the subscription page"),
            "url": url_for("subscribers.subscribe", lang=language()),
        }
    ]


def _begin() -> None:
    if request.method in {"GET", "HEAD", "OPTIONS"} and not request.path.startswith("/staff"):
        database.begin_reading()
    else:
        database.begin_writing()


def _add_headers(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", CSP)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("X-Robots-Tag", "noindex")
    # Staff forms need the referrer for their CSRF check over https; a token page must not give it away.
    staff = request.path.startswith("/staff")
    headers.setdefault("Referrer-Policy", "same-origin" if staff else "no-referrer")
    if request.endpoint != "static":
        headers.setdefault("Cache-Control", "no-store")
    if request.is_secure:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response
