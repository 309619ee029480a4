"""The lane in front of Flask: a signup that needs no page is answered without making one.

Most forms are filled in as they should be, and their answer is a redirect. What Flask does around
a view takes longer than all that a signup needs. Whatever is not plain (a fault in the form, a
visitor who sends too many, a frame of another site) goes on to the view, which has the words.
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
from newsletter.subscribers.public.blueprint import visit_of
from newsletter.subscribers.signup import browser_cookie
from newsletter.subscribers.signup.form import read_form
from newsletter.subscribers.signup.queue import take_in
from newsletter.web.i18n import language_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/subscribe"
#: What the view is told of a form that was read and counted here, and not let in.
REFUSAL = "newsletter.refusal"
#: A form has a handful of short fields; what is larger is for others to refuse.
LONGEST = 16_384
_FORM = "application/x-www-form-urlencoded"


class _Answer(NamedTuple):
    """What ``start_response`` and the server get."""

    status: str
    headers: list[tuple[str, str]]
    page: bytes


class SignupLane:
    """WSGI middleware for plain ``POST /subscribe``; the rest goes on to the application."""

    def __init__(self, inner: "WSGIApplication", app: Flask) -> None:
        self._inner = inner
        self._app = app
        self._redirect = lru_cache(maxsize=100)(self._make_redirect)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if not _is_plain(environ):
            return self._inner(environ, start_response)
        length = int(environ["CONTENT_LENGTH"])
        body = environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        answer = None
        if len(body.getbuffer()) == length:  # else it broke off, maybe in the middle of the address
            with self._app.app_context():
                answer = self._answer(Request(environ))
        if answer is None:
            body.seek(0)
            return self._inner(environ, start_response)
        start_response(answer.status, answer.headers)
        return [answer.page]

    def _answer(self, asked: Request) -> "_Answer | None":
        """Let the form in; None when the view has to say something about it."""
        secret, browser_hash = browser_cookie.make_browser_secret()
        language, now = language_of(asked), utcnow()
        form = read_form(asked.form, language, browser_hash).request
        if form is None:
            return None
        try:
            is_trapped = honeypot.is_caught(asked.form, now)
            solution = asked.form.get("altcha", "")
            take_in(form, now=now, visit=visit_of(asked), solution=solution, is_trapped=is_trapped)
        except (NewsletterError, HTTPException) as refusal:
            asked.environ[REFUSAL] = refusal
            return None
        answer = self._redirect(asked.root_path, asked.scheme, language)
        cookie = ("Set-Cookie", browser_cookie.cookie(secret, is_secure=asked.is_secure))
        return answer._replace(headers=[*answer.headers, cookie])

    def _make_redirect(self, root: str, scheme: str, language: str) -> "_Answer":
        """Return what the view would answer, cookie apart."""
        base_url = f"{scheme}://localhost{root}"
        with self._app.test_request_context(PATH, method="POST", base_url=base_url) as context:
            redirection = make_response(redirect(url_for("subscribers.sent", lang=language), 303))
            response = self._app.process_response(redirection)
            headers = response.get_wsgi_headers(context.request.environ).to_wsgi_list()
            return _Answer(response.status, headers, response.get_data())


def _is_plain(environ: "WSGIEnvironment") -> bool:
    if environ["REQUEST_METHOD"] != "POST" or environ.get("PATH_INFO") != PATH or environ.get("QUERY_STRING"):
        return False
    length = environ.get("CONTENT_LENGTH", "")
    is_short = length.isascii() and length.isdigit() and len(length) <= 5 and int(length) <= LONGEST  # noqa: PLR2004
    return is_short and environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() == _FORM
