"""WSGI middleware for opens and clicks: answers them without Flask and without a database write.

A hit's token is verified, the hit is appended to the hit log and answered. A click redirects to the URL
stored with the edition, never to one in the request (no open redirect).
"""

import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING
from urllib.parse import quote

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from newsletter.config import Settings
from newsletter.db import db, read_transactions
from newsletter.durable import counters
from newsletter.errors import LinkInvalid
from newsletter.tracking.classify import HONEYPOT_LINK, class_by_user_agent
from newsletter.tracking.hit_log import HitLog
from newsletter.tracking.links import HIT_TOKEN
from newsletter.tracking.models import Link

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PIXEL = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
_NO_STORE_HEADERS = [
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Robots-Tag", "noindex"),
]
_PIXEL_HEADERS = [("Content-Type", "image/gif"), ("Content-Length", str(len(PIXEL))), *_NO_STORE_HEADERS]
_EMPTY_HEADERS = [("Content-Length", "0"), *_NO_STORE_HEADERS]
_MAX_AGENT = 400
_MAX_IP = 64
_MAX_CACHED_EDITIONS = 1000
_HOUR_MS = 3_600_000
_ANONYMOUS = 0
#: Values of Sec-Purpose and its predecessors: fetched before anyone has asked for the page.
_PREFETCH_WORDS = ("prefetch", "prerender", "preview")
#: Characters left as they are in a URL; "%" because stored URLs are encoded already.
_URL_SAFE = ":/?#[]@!$&'()*+,;=%~"


class TrackingGateway:
    """WSGI middleware for ``/o/<token>`` and ``/c/<token>/<n>``; passes the rest to the application.

    Conditional and range requests get the whole response: nothing here is ever cached (TR-9).
    """

    def __init__(self, inner: "WSGIApplication", app: Flask, chosen: Settings) -> None:
        self._inner = inner
        self._app = app
        self._signer = HIT_TOKEN.signer(chosen)
        self._targets: dict[int, dict[int, str]] = {}
        self._handlers: dict[str, Callable[[WSGIEnvironment, StartResponse, str], Iterable[bytes] | None]] = {
            "/o/": self._open,
            "/c/": self._click,
        }
        self.spool = HitLog(chosen.instance_path / "spool")

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        handler = self._handlers.get(path[:3])
        answer = None
        if handler is not None and environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
            answer = handler(environ, start_response, path[3:])
        return self._inner(environ, start_response) if answer is None else answer

    def _open(
        self, environ: "WSGIEnvironment", start_response: "StartResponse", rest: str
    ) -> Iterable[bytes]:
        try:
            edition_id, subscriber_id = HIT_TOKEN.decode(self._signer, rest)
        except LinkInvalid:
            counters.increment(
                "refused open"
            )  # the same picture, so that nobody learns which tokens are real
        else:
            self._record(environ, "open", edition_id, subscriber_id, "null")
        start_response("200 OK", _PIXEL_HEADERS)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else PIXEL]

    def _click(
        self, environ: "WSGIEnvironment", start_response: "StartResponse", rest: str
    ) -> Iterable[bytes] | None:
        token, _slash, number = rest.partition("/")
        # At most four digits: int() of a long string of them is work for nothing.
        if not (number.isascii() and number.isdigit() and len(number) <= 4):  # noqa: PLR2004
            return None
        try:
            edition_id, subscriber_id = HIT_TOKEN.decode(self._signer, token)
            target = "" if int(number) == HONEYPOT_LINK else self._target(edition_id, int(number))
        except LinkInvalid:
            counters.increment("refused click")
            return None
        except SQLAlchemyError:
            start_response("503 Service Unavailable", [("Retry-After", "30"), *_EMPTY_HEADERS])
            return [b""]
        if target is None:
            return None
        self._record(environ, "click", edition_id, subscriber_id, str(int(number)))
        if target:
            start_response("302 Found", [("Location", target), *_EMPTY_HEADERS])
        else:
            start_response("204 No Content", _NO_STORE_HEADERS)  # nobody sees this link, so it leads nowhere
        return [b""]

    def _target(self, edition_id: int, number: int) -> str | None:
        """Return the URL of a link, cached: the links of an edition never change once it is sent."""
        links = self._targets.get(edition_id)
        if links is None:
            links = self._load_links(edition_id)
            if not links:
                return None
            if len(self._targets) >= _MAX_CACHED_EDITIONS:
                self._targets.clear()
            self._targets[edition_id] = links
        return links.get(number)

    def _load_links(self, edition_id: int) -> dict[int, str]:
        with self._app.app_context(), read_transactions(), db.engine.connect() as connection:
            rows = connection.execute(
                sa.select(Link.number, Link.url).where(Link.edition_id == edition_id)
            ).all()
        # A header is ASCII; an address stored otherwise is written as browsers would.
        return {
            number: quote(url, safe=_URL_SAFE)
            for number, url in rows
            if url.lower().startswith(("http://", "https://"))
        }

    def _record(
        self,
        environ: "WSGIEnvironment",
        kind: str,
        edition_id: int,
        subscriber_id: int,
        number: str,
    ) -> None:
        if environ["REQUEST_METHOD"] == "HEAD" or _is_prefetch(environ):
            return  # nothing was shown to anybody
        at = int(time.time() * 1000)
        agent = environ.get("HTTP_USER_AGENT", "")[:_MAX_AGENT]
        if subscriber_id == _ANONYMOUS:
            # Only counted: no IP address, no User-Agent, the time rounded down to the hour.
            who = f'"","","{class_by_user_agent(agent).value}"'
            at -= at % _HOUR_MS
        else:
            who = f"{encode_basestring_ascii(environ.get('REMOTE_ADDR', '')[:_MAX_IP])},{_json_string(agent)}"
        self.spool.append(f'[{at},"{kind}",{edition_id},{subscriber_id},{number},{who}]\n'.encode("ascii"))


def _is_prefetch(environ: "WSGIEnvironment") -> bool:
    for name in ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ"):
        value = environ.get(name)
        if value and any(word in value.lower() for word in _PREFETCH_WORDS):
            return True
    return False


@lru_cache(maxsize=2000)
def _json_string(agent: str) -> str:
    return encode_basestring_ascii(agent)
