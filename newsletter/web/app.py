"""What all pages share: client address, security headers, transactions, and error pages."""

import functools
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from flask import (
    Flask,
    Request,
    Response,
    has_request_context,
    make_response,
    render_template,
    request,
    url_for,
)
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug import Request as WerkzeugRequest
from werkzeug.exceptions import HTTPException
from werkzeug.routing import IntegerConverter

from newsletter import db as database
from newsletter.config import current_settings
from newsletter.errors import LinkExpired, LinkInvalid, NewsletterError, NotAllowed, NotFound, Unavailable
from newsletter.web.i18n import language, translate

log = logging.getLogger(__name__)

View = TypeVar("View", bound=Callable[..., Any])

CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; connect-src 'self';"
    " frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: The largest id that an INTEGER column holds.
MAX_ID = 2**31 - 1
#: What other sites may show in a frame when its address says ``embedded=1``: the form and its answers.
EMBEDDABLE = {"subscribers.subscribe", "subscribers.sign_up", "subscribers.sent"}
#: The status of a refusal by its kind; any other refusal is 422.
STATUS = {NotFound: 404, LinkInvalid: 404, LinkExpired: 410, NotAllowed: 403, Unavailable: 503}


def init_app(app: Flask) -> None:
    """Install headers, error pages and the values every template has."""
    app.url_map.converters["int"] = IdConverter
    app.context_processor(lambda: {"site": current_settings(), "embedded": is_embedded()})
    app.before_request(_choose_transaction_mode)
    app.teardown_request(lambda _error: database.use_write_transactions())
    app.after_request(_add_headers)
    app.register_error_handler(NewsletterError, show_refusal)
    app.register_error_handler(HTTPException, show_http_error)


class _SessionInterface(SecureCookieSessionInterface):
    """Flask's session interface, which skips the signer for requests without a session cookie."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return the session of a request."""
        if self.get_cookie_name(app) not in request.cookies:
            return self.session_class()
        return super().open_session(app, request)


class IdConverter(IntegerConverter):
    """The URL converter ``int``, bounded to what an INTEGER column can be compared with."""

    def to_python(self, value: str) -> int:
        """Return the id; MAX_ID for a larger one, which no row has either."""
        number: int = super().to_python(value)
        return min(number, MAX_ID)


def parse_id(text: str) -> int:
    """Parse an id for ``args.get(…, type=parse_id)``; ValueError where no column could hold it."""
    number = int(text)
    if abs(number) > MAX_ID:
        raise ValueError("larger than any column")
    return number


class Application(Flask):
    """Flask, logging the endpoint of a failed request and not its URL, which may hold a token."""

    session_interface = _SessionInterface()

    def log_exception(self, exc_info: Any) -> None:  # noqa: ANN401 - Flask's own
        """Log an exception that no view handled."""
        log.error("request failed", exc_info=exc_info, extra={"endpoint": request.endpoint})


def write_transaction(view: View) -> View:
    """Decorate a GET view that writes: showing personal data is recorded in the audit log."""

    @functools.wraps(view)
    def begun(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - a view's own
        database.restart_for_writing()
        return view(*args, **kwargs)

    return begun  # type: ignore[return-value] # wraps() keeps what it is


def client_ip(asked: WerkzeugRequest = request) -> str:
    """Return the client's IP address, through as many proxies as PROXY_HOPS trusts."""
    return asked.remote_addr or "0.0.0.0"  # noqa: S104 - "unknown", not a listener


def user_agent(asked: WerkzeugRequest = request) -> str:
    """Return the User-Agent, cut to 400 characters."""
    return asked.user_agent.string[:400]


def is_embedded() -> bool:
    """Tell whether this page is shown inside a page of another site."""
    return has_request_context() and request.endpoint in EMBEDDABLE and request.args.get("embedded") == "1"


def embed_arguments() -> dict[str, Any]:
    """Return the arguments that keep the next page inside the frame, with the lists it offers."""
    return {"embedded": 1, "lists": request.args.getlist("lists")} if is_embedded() else {}


def allow_frames(response: Response, *origins: str) -> Response:
    """Let our own pages, and those of these origins, show this one in a frame."""
    ancestors = " ".join(("frame-ancestors 'self'", *origins))
    response.headers["Content-Security-Policy"] = CSP.replace("frame-ancestors 'none'", ancestors)
    return response


def allow_cors(response: Response) -> Response:
    """Add the CORS headers that let scripts of EMBED_ORIGINS, and no others, read this response."""
    origin = request.headers.get("Origin", "")
    response.vary.add("Origin")
    if origin in current_settings().embed_origins:
        response.headers["Access-Control-Allow-Origin"] = origin
    return response


def message_page(
    heading: str,
    *paragraphs: str,
    actions: Sequence[dict[str, str]] = (),
    tone: str = "info",
    status: int = 200,
) -> Response:
    """Render a page with a heading, some paragraphs and links to what can be done next."""
    page = render_template(
        "public/message.html", heading=heading, text=paragraphs, actions=actions, tone=tone
    )
    return make_response(page, status)


def attachment(
    content: str | bytes | Iterator[str], name: str, kind: str = "text/csv; charset=utf-8"
) -> Response:
    """Answer with a file to keep; its name is ours and needs no quoting beyond this."""
    response = make_response(content)
    response.headers["Content-Type"] = kind
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def show_refusal(error: NewsletterError) -> Response:
    """Turn a refusal into a page, or into JSON for a program."""
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 422)
    log.info("refused", extra={"kind": type(error).__name__})
    text = translate(error.message, error.values)
    if request.path.startswith("/api/"):
        return _problem(status, type(error).__name__, text)
    return message_page(_("This did not work"), text, actions=_next_actions(), tone="problem", status=status)


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
    is_program = request.path.startswith("/api/")
    if is_program:
        texts |= {404: _("There is nothing here."), 405: _("This address does not take that method.")}
    text = texts.get(status, _("Something went wrong. Try again later."))
    if is_program:
        response = _problem(status, error.name, text)
    else:
        response = message_page(
            _("This did not work"), text, actions=_next_actions(), tone="problem", status=status
        )
    for name, value in error.get_headers():
        if name.lower() in {"allow", "retry-after"}:
            response.headers[name] = value
    return response


def _problem(status: int, name: str, text: str) -> Response:
    """Return a problem document (RFC 9457) for errors outside of the API's resources."""
    code = re.sub(r"[^a-z]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    document = {"type": "about:blank", "title": name, "status": status, "code": code, "detail": text}
    return Response(json.dumps(document), status, content_type="application/problem+json")


def _next_actions() -> list[dict[str, str]]:
    if request.path.startswith("/staff/"):
        return [{"label": _("To the staff pages"), "url": url_for("stats.campaigns", lang=language())}]
    # Inside a frame the form that stood there comes back, with the lists it offered.
    url = url_for("subscribers.subscribe", lang=language(), **embed_arguments())
    return [{"label": _("To the subscription page"), "url": url}]


def _choose_transaction_mode() -> None:
    if request.method in {"GET", "HEAD", "OPTIONS"}:
        database.use_read_transactions()  # a page that records its viewer says ``write_transaction``
    else:
        database.restart_for_writing()


def _add_headers(response: Response) -> Response:
    headers = response.headers
    if is_embedded():
        allow_frames(response, *current_settings().embed_origins)
    headers.setdefault("Content-Security-Policy", CSP)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    if "frame-ancestors 'self'" not in headers["Content-Security-Policy"]:
        headers.setdefault("X-Frame-Options", "DENY")  # it cannot name a site, so only where none may
    headers.setdefault("X-Robots-Tag", "noindex")
    headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
    # Staff forms need the referrer for their CSRF check over https; a token page must not give it away.
    staff = request.path.startswith("/staff")
    headers.setdefault("Referrer-Policy", "same-origin" if staff else "no-referrer")
    if staff:  # other pages are shown in frames and their scripts loaded by sites we allow
        headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    # Files, and what a view calls public by itself (pictures, the archive), are all that may be kept.
    if request.endpoint != "static" and not headers.get("Cache-Control", "").startswith("public"):
        headers["Cache-Control"] = "no-store"
    if request.is_secure:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response
