"""What every page shares: the client's address, headers, and how a refusal is shown."""

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
from newsletter.config import settings
from newsletter.errors import LinkExpired, LinkInvalid, NewsletterError, NotAllowed, NotFound, Unavailable
from newsletter.web.i18n import language, translate

log = logging.getLogger(__name__)

View = TypeVar("View", bound=Callable[..., Any])

CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; connect-src 'self';"
    " frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: The largest number of a row.
LARGEST = 2**31 - 1
#: What other sites may show in a frame when its address says ``embedded=1``: the form and its answers.
EMBEDDABLE = {"subscribers.subscribe", "subscribers.sign_up", "subscribers.sent"}
#: The status of a refusal by its kind; any other refusal is 422.
STATUS = {NotFound: 404, LinkInvalid: 404, LinkExpired: 410, NotAllowed: 403, Unavailable: 503}


def init_app(app: Flask) -> None:
    """Install headers, error pages and the values every template has."""
    app.url_map.converters["int"] = Number
    app.context_processor(lambda: {"site": settings(), "embedded": is_embedded()})
    app.before_request(_begin)
    app.teardown_request(lambda _error: database.begin_as_usual())
    app.after_request(_add_headers)
    app.register_error_handler(NewsletterError, show_refusal)
    app.register_error_handler(HTTPException, show_http_error)


class _Sessions(SecureCookieSessionInterface):
    """Flask's own, which makes nothing ready for the many who carry no session."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return the session of a request."""
        if self.get_cookie_name(app) not in request.cookies:
            return self.session_class()
        return super().open_session(app, request)


class Number(IntegerConverter):
    """A number in an address that a column can be compared with."""

    def to_python(self, value: str) -> int:
        """Return the number; for a larger one the largest, which names nothing of ours either."""
        number: int = super().to_python(value)
        return min(number, LARGEST)


def whole(text: str) -> int:
    """Read a number for ``args.get(…, type=whole)``; ValueError where no column could hold it."""
    number = int(text)
    if abs(number) > LARGEST:
        raise ValueError("larger than any column")
    return number


class Application(Flask):
    """Flask, with a log that names the page of a failure and not its address: that may hold a token."""

    session_interface = _Sessions()

    def log_exception(self, exc_info: Any) -> None:  # noqa: ANN401 - Flask's own
        """Log an exception that no view handled."""
        log.error("request failed", exc_info=exc_info, extra={"endpoint": request.endpoint})


def writing(view: View) -> View:
    """Let a GET write: it looks at people, and that goes into the audit log."""

    @functools.wraps(view)
    def begun(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - a view's own
        database.begin_writing()
        return view(*args, **kwargs)

    return begun  # type: ignore[return-value] # wraps() keeps what it is


def client_ip(asked: WerkzeugRequest = request) -> str:
    """Return the address of the client, as far as PROXY_HOPS lets us believe it."""
    return asked.remote_addr or "0.0.0.0"  # noqa: S104 - "unknown", not a listener


def user_agent(asked: WerkzeugRequest = request) -> str:
    """Return what the browser calls itself, cut to what the evidence needs."""
    return asked.user_agent.string[:400]


def is_embedded() -> bool:
    """Tell whether this page is shown inside a page of another site."""
    return has_request_context() and request.endpoint in EMBEDDABLE and request.args.get("embedded") == "1"


def embedding() -> dict[str, Any]:
    """Return the arguments that keep the next page inside the frame, with the lists it offers."""
    return {"embedded": 1, "lists": request.args.getlist("lists")} if is_embedded() else {}


def allow_frames(response: Response, *origins: str) -> Response:
    """Let our own pages, and those of these origins, show this one in a frame."""
    ancestors = " ".join(("frame-ancestors 'self'", *origins))
    response.headers["Content-Security-Policy"] = CSP.replace("frame-ancestors 'none'", ancestors)
    return response


def allow_reading(response: Response) -> Response:
    """Let the scripts of EMBED_ORIGINS, and no others, read this answer (CORS)."""
    origin = request.headers.get("Origin", "")
    response.vary.add("Origin")
    if origin in settings().embed_origins:
        response.headers["Access-Control-Allow-Origin"] = origin
    return response


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
    is_program = request.path.startswith("/api/")
    if is_program:
        texts |= {404: _("There is nothing here."), 405: _("This address does not take that method.")}
    text = texts.get(status, _("Something went wrong. Try again later."))
    if is_program:
        response = _problem(status, error.name, text)
    else:
        response = message_page(
            _("This did not work"), text, actions=_ways_on(), tone="problem", status=status
        )
    for name, value in error.get_headers():
        if name.lower() in {"allow", "retry-after"}:
            response.headers[name] = value
    return response


def _problem(status: int, name: str, text: str) -> Response:
    """Say no to a program where no resource of the API does (RFC 9457)."""
    code = re.sub(r"[^a-z]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    document = {"type": "about:blank", "title": name, "status": status, "code": code, "detail": text}
    return Response(json.dumps(document), status, content_type="application/problem+json")


def _ways_on() -> list[dict[str, str]]:
    if request.path.startswith("/staff/"):
        return [{"label": _("To the staff pages"), "url": url_for("stats.campaigns", lang=language())}]
    # Inside a frame the form that stood there comes back, with the lists it offered.
    url = url_for("subscribers.subscribe", lang=language(), **embedding())
    return [{"label": _("To the subscription page"), "url": url}]


def _begin() -> None:
    if request.method in {"GET", "HEAD", "OPTIONS"}:
        database.begin_reading()  # a page that writes down who looked at it says so: ``writing``
    else:
        database.begin_writing()


def _add_headers(response: Response) -> Response:
    headers = response.headers
    if is_embedded():
        allow_frames(response, *settings().embed_origins)
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
