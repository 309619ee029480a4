"""Languages: which one a request gets, translation, and formats of dates and numbers.

A page is in the language of ``?lang=`` (or of the form field ``lang``), else the browser's, else
the first of LANGUAGES. A mail is in its list's language, whatever the browser says.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import flask_babel
from babel.dates import format_date as babel_format_date
from babel.numbers import format_decimal, format_percent
from flask import Flask, Response, g, has_request_context, request
from flask_babel import Babel, force_locale, gettext
from werkzeug import Request
from werkzeug.exceptions import HTTPException

from newsletter.config import Settings, current_settings

NATIVE_NAMES = {"fi": "Suomi", "en": "English"}

babel = Babel()


def init_app(app: Flask, chosen: Settings) -> None:
    """Give templates the chosen language, its dates and its numbers."""
    app.config["BABEL_DEFAULT_LOCALE"] = chosen.languages[0]
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = f"{app.root_path}/translations"
    babel.init_app(app, locale_selector=choose_language, timezone_selector=lambda: str(chosen.timezone))
    app.jinja_env.filters |= {"date": format_date, "datetime": format_datetime}
    app.jinja_env.filters |= {"number": format_number, "percent": format_share}
    app.context_processor(_language_context)
    app.after_request(_keep_language_in_redirect)


def choose_language() -> str:
    """Return the language this request asks for."""
    offered = current_settings().languages
    if not has_request_context():
        return offered[0]
    return str(g.language) if "language" in g else language_of(request)


def language_of(asked: Request) -> str:
    """Return the language that a request asks for, also one that has not reached Flask."""
    offered, named = current_settings().languages, _requested_language(asked)
    if named in offered:
        return named
    # In the browser's own order: "en-GB, fi;q=0.5" is a wish for English.
    wished = (code.partition("-")[0].lower() for code in asked.accept_languages.values())
    return next((code for code in wished if code in offered), offered[0])


def language() -> str:
    """Return the current language: a forced one inside ``force_language``, else the request's."""
    return str(flask_babel.get_locale() or current_settings().languages[0])


def supported_language(code: str) -> str:
    """Return the language if it is one of LANGUAGES, else the first of these."""
    offered = current_settings().languages
    return code if code in offered else offered[0]


def set_response_language(code: str) -> None:
    """Use one language for the rest of this request, error pages included."""
    g.language = supported_language(code)
    flask_babel.refresh()


@contextmanager
def force_language(code: str) -> Iterator[None]:
    """Render everything inside in one language."""
    with force_locale(supported_language(code)):
        yield


def translate(message: str, values: dict[str, object] | None = None) -> str:
    """Translate a sentence marked with ``N_`` and fill in its values."""
    return str(gettext(message, **(values or {})))


def format_date(moment: datetime | date) -> str:
    """Write a day as 15.1.2027 or Jan 15, 2027, in the business time zone."""
    return str(flask_babel.format_date(moment)) if isinstance(moment, datetime) else _day(moment, language())


def format_datetime(moment: datetime) -> str:
    """Write an instant as 15.1.2027 klo 3.00 or Jan 15, 2027, 3:00 AM."""
    if language() == "fi":
        return str(flask_babel.format_datetime(moment, "d.M.y 'klo' H.mm"))
    return f"{flask_babel.format_date(moment)}, {flask_babel.format_time(moment, 'short')}"


def format_number(number: float) -> str:
    """Write a number with the language's separators."""
    return _decimal(number, language())


def format_share(share: float | None) -> str:
    """Write 0.412 as 41.2 % or 41,2 %; a dash when there is nothing to divide by."""
    return "–" if share is None else _percent(share, language())


# A page of figures writes hundreds of numbers, most of them the same as last time.
@lru_cache(maxsize=20_000)
def _decimal(number: float, code: str) -> str:
    return str(format_decimal(number, locale=code))


@lru_cache(maxsize=5_000)
def _day(day: date, code: str) -> str:
    return str(babel_format_date(day, "medium", locale=code))


@lru_cache(maxsize=5_000)
def _percent(share: float, code: str) -> str:
    return str(format_percent(share, "#,##0.#\u00a0%", locale=code))


def _keep_language_in_redirect(response: Response) -> Response:
    """Add the requested ``lang`` to a redirect within this site."""
    location = response.headers.get("Location", "")
    if location.startswith("/") and not location.startswith("//"):
        asked, here = _requested_language(request), urlsplit(location)
        if asked in current_settings().languages and "lang" not in parse_qs(here.query):
            query = f"{here.query}&lang={asked}" if here.query else f"lang={asked}"
            response.headers["Location"] = urlunsplit(here._replace(query=query))
    return response


def _requested_language(asked: Request) -> str:
    with suppress(HTTPException):  # a form too large to read still gets its answer
        return asked.values.get("lang", "")
    return asked.args.get("lang", "")


def _language_context() -> dict[str, Any]:
    if not has_request_context():
        return {"language": language(), "languages": []}
    return {
        "language": language(),
        "languages": [_language_link(code) for code in current_settings().languages],
    }


def _language_link(code: str) -> dict[str, str]:
    path = request.path if request.endpoint else "/"
    asked = [(name, value) for name, value in request.args.items(multi=True) if name != "lang"]
    address = f"{request.script_root}{path}?{urlencode([*asked, ('lang', code)])}"
    return {"code": code, "name": NATIVE_NAMES[code], "url": address}
