"""Fast path for signups: WSGI middleware that answers valid form posts without a Flask request.

Most forms are valid, and their response is a redirect. Flask's work around a view takes longer than the
signup itself. Everything else (an invalid form, a client beyond its limit, an embedded frame) goes on to
the view.
"""

import io
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from flask import Flask, make_response, redirect, url_for
from werkzeug import Request
from werkzeug.exceptions import HTTPException

from newsletter.clock import utcnow
from newsletter.errors import NewsletterError
from newsletter.subscribers.abuse import honeypot
from newsletter.subscribers.public.blueprint import visit_from
from newsletter.subscribers.signup import browser_cookie
from newsletter.subscribers.signup.form import read_form
from newsletter.subscribers.signup.queue import enqueue_signup
from newsletter.web.i18n import language_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SIGNUP_PATH = "/subscribe"
#: Environ key of the exception with which a form was refused here after it had been counted.
REFUSAL_KEY = "newsletter.refusal"
#: Larger bodies are left to Flask's own limit.
MAX_BODY_BYTES = 16_384
_FORM_CONTENT_TYPE = "application/x-www-form-urlencoded"


class _Answer(NamedTuple):
    """The arguments of ``start_response``, and the body."""

    status: str
    headers: list[tuple[str, str]]
    page: bytes


class SignupFastPath:
    """WSGI middleware for plain ``POST /subscribe``; the rest goes on to the application."""

    def __init__(self, inner: "WSGIApplication", app: Flask) -> None:
        self._inner = inner
        self._app = app
        self._redirect = lru_cache(maxsize=100)(self._make_redirect)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if not _is_plain_form_post(environ):
            return self._inner(environ, start_response)
        length = int(environ["CONTENT_LENGTH"])
        body = environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        answer = None
        if len(body.getbuffer()) == length:  # else it was cut off, maybe within the address
            with self._app.app_context():
                answer = self._answer(Request(environ))
        if answer is None:
            body.seek(0)
            return self._inner(environ, start_response)
        start_response(answer.status, answer.headers)
        return [answer.page]

    def _answer(self, asked: Request) -> "_Answer | None":
        """Enqueue the form; None when the view has to respond."""
        secret, browser_hash = browser_cookie.make_browser_secret()
        language, now = language_of(asked), utcnow()
        form = read_form(asked.form, language, browser_hash).request
        if form is None:
            return None
        try:
            is_trapped = honeypot.is_automated(asked.form, now)
            solution = asked.form.get("altcha", "")
            enqueue_signup(form, now=now, visit=visit_from(asked), solution=solution, is_trapped=is_trapped)
        except (NewsletterError, HTTPException) as refusal:
            asked.environ[REFUSAL_KEY] = refusal
            return None
        answer = self._redirect(asked.root_path, asked.scheme, language)
        cookie = ("Set-Cookie", browser_cookie.cookie_header(secret, is_secure=asked.is_secure))
        return answer._replace(headers=[*answer.headers, cookie])

    def _make_redirect(self, root: str, scheme: str, language: str) -> "_Answer":
        """Return the response of the view, without the cookie."""
        base_url = f"{scheme}://localhost{root}"
        with self._app.test_request_context(SIGNUP_PATH, method="POST", base_url=base_url) as context:
            redirection = make_response(redirect(url_for("subscribers.sent", lang=language), 303))
            response = self._app.process_response(redirection)
            headers = response.get_wsgi_headers(context.request.environ).to_wsgi_list()
            return _Answer(response.status, headers, response.get_data())


def _is_plain_form_post(environ: "WSGIEnvironment") -> bool:
    if (
        environ["REQUEST_METHOD"] != "POST"
        or environ.get("PATH_INFO") != SIGNUP_PATH
        or environ.get("QUERY_STRING")
    ):
        return False
    length = environ.get("CONTENT_LENGTH", "")
    is_short = length.isascii() and length.isdigit() and len(length) <= 5 and int(length) <= MAX_BODY_BYTES  # noqa: PLR2004
    return (
        is_short and environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() == _FORM_CONTENT_TYPE
    )
