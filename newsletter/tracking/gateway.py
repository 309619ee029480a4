"""The gateway in front of Flask: answers opens and clicks without it and without the database.

A hit is checked, written to the spool and answered. A click leads to the address stored with the
edition, never to one in the link.
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
from newsletter.db import db, reading
from newsletter.durable import counters
from newsletter.errors import LinkInvalid
from newsletter.tracking.classify import TRAP, class_by_name
from newsletter.tracking.hit_log import Spool
from newsletter.tracking.links import HIT
from newsletter.tracking.models import Link

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PIXEL = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
_PRIVATE = [
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Robots-Tag", "noindex"),
]
_PIXEL_HEADERS = [("Content-Type", "image/gif"), ("Content-Length", str(len(PIXEL))), *_PRIVATE]
_EMPTY_HEADERS = [("Content-Length", "0"), *_PRIVATE]
_LONGEST_AGENT = 400
_LONGEST_IP = 64
_CACHED_EDITIONS = 1000
_HOUR = 3_600_000
_NOBODY = 0
#: What a browser says that fetches a page before anyone has asked for it.
_AHEAD = ("prefetch", "prerender", "preview")
#: What may stand in an address; "%" because stored addresses are encoded already.
_IN_ADDRESS = ":/?#[]@!$&'()*+,;=%~"


class TrackingGateway:
    """WSGI middleware for ``/o/<token>`` and ``/c/<token>/<n>``; the rest goes on to the application.

    What is conditional or asks for a range gets the whole answer: nothing here is ever cached (TR-9).
    """

    def __init__(self, inner: "WSGIApplication", app: Flask, chosen: Settings) -> None:
        self._inner = inner
        self._app = app
        self._signer = HIT.signer(chosen)
        self._targets: dict[int, dict[int, str]] = {}
        self._verbs: dict[str, Callable[[WSGIEnvironment, StartResponse, str], Iterable[bytes] | None]] = {
            "/o/": self._open,
            "/c/": self._click,
        }
        self.spool = Spool(chosen.instance_path / "spool")

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        verb = self._verbs.get(path[:3])
        answer = None
        if verb is not None and environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
            answer = verb(environ, start_response, path[3:])
        return self._inner(environ, start_response) if answer is None else answer

    def _open(
        self, environ: "WSGIEnvironment", start_response: "StartResponse", rest: str
    ) -> Iterable[bytes]:
        try:
            edition_id, subscriber_id = HIT.decode(self._signer, rest)
        except LinkInvalid:
            counters.count("refused open")  # the same picture, so that nobody learns which tokens are real
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
            edition_id, subscriber_id = HIT.decode(self._signer, token)
            target = "" if int(number) == TRAP else self._target(edition_id, int(number))
        except LinkInvalid:
            counters.count("refused click")
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
            start_response("204 No Content", _PRIVATE)  # nobody sees this link, so it leads nowhere
        return [b""]

    def _target(self, edition_id: int, number: int) -> str | None:
        """Return where a link leads; the links of an edition never change once it is sent."""
        links = self._targets.get(edition_id)
        if links is None:
            links = self._look_up(edition_id)
            if not links:
                return None
            if len(self._targets) >= _CACHED_EDITIONS:
                self._targets.clear()
            self._targets[edition_id] = links
        return links.get(number)

    def _look_up(self, edition_id: int) -> dict[int, str]:
        with self._app.app_context(), reading(), db.engine.connect() as connection:
            rows = connection.execute(
                sa.select(Link.number, Link.url).where(Link.edition_id == edition_id)
            ).all()
        # A header is ASCII; an address stored otherwise is written as browsers would.
        return {
            number: quote(url, safe=_IN_ADDRESS)
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
        if environ["REQUEST_METHOD"] == "HEAD" or _is_ahead(environ):
            return  # nobody has seen anything
        at = int(time.time() * 1000)
        agent = environ.get("HTTP_USER_AGENT", "")[:_LONGEST_AGENT]
        if subscriber_id == _NOBODY:
            # Counted only: no address, no name, and the hour for a moment.
            who = f'"","","{class_by_name(agent).value}"'
            at -= at % _HOUR
        else:
            who = f"{encode_basestring_ascii(environ.get('REMOTE_ADDR', '')[:_LONGEST_IP])},{_written(agent)}"
        self.spool.append(f'[{at},"{kind}",{edition_id},{subscriber_id},{number},{who}]\n'.encode("ascii"))


def _is_ahead(environ: "WSGIEnvironment") -> bool:
    for name in ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ"):
        said = environ.get(name)
        if said and any(word in said.lower() for word in _AHEAD):
            return True
    return False


@lru_cache(maxsize=2000)
def _written(agent: str) -> str:
    return encode_basestring_ascii(agent)
