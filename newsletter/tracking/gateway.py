"""The gateway in front of Flask: answers opens and clicks without it and without the database.

A hit is checked, written to the spool and answered. A click leads to the address stored with the
edition, never to one in the link.
"""

import json
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from newsletter.config import Settings
from newsletter.db import db, reading
from newsletter.errors import LinkInvalid
from newsletter.tracking.links import HIT
from newsletter.tracking.models import Link
from newsletter.tracking.spool import Spool

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
_LONGEST_AGENT = 400
_CACHED_EDITIONS = 1000


class TrackingGateway:
    """WSGI middleware for ``/o/<token>`` and ``/c/<token>/<n>``; the rest goes on to the application."""

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
            pass  # the same picture, so that nobody learns which tokens are real
        else:
            self._record(environ, "open", edition_id, subscriber_id, None)
        start_response("200 OK", _PIXEL_HEADERS)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else PIXEL]

    def _click(
        self, environ: "WSGIEnvironment", start_response: "StartResponse", rest: str
    ) -> Iterable[bytes] | None:
        token, _slash, number = rest.partition("/")
        try:
            edition_id, subscriber_id = HIT.decode(self._signer, token)
            # At most four digits: int() of a long string of them is work for nothing.
            target = self._target(edition_id, int(number) if number.isascii() and len(number) <= 4 else 0)  # noqa: PLR2004
        except (LinkInvalid, ValueError):
            return None
        except SQLAlchemyError:
            start_response(
                "503 Service Unavailable",
                [("Retry-After", "30"), ("Content-Length", "0"), *_PRIVATE],
            )
            return [b""]
        if target is None:
            return None
        self._record(environ, "click", edition_id, subscriber_id, int(number))
        start_response("302 Found", [("Location", target), ("Content-Length", "0"), *_PRIVATE])
        return [b""]

    def _target(self, edition_id: int, number: int) -> str | None:
        """Return where a link leads; the links of an edition never change once it is sent."""
        if edition_id not in self._targets:
            with self._app.app_context(), reading(), db.engine.connect() as connection:
                rows = connection.execute(
                    sa.select(Link.number, Link.url).where(Link.edition_id == edition_id)
                )
                found = dict(rows.all())
            if not found:
                return None
            if len(self._targets) >= _CACHED_EDITIONS:
                self._targets.clear()
            self._targets[edition_id] = found
        return self._targets[edition_id].get(number)

    def _record(
        self,
        environ: "WSGIEnvironment",
        kind: str,
        edition_id: int,
        subscriber_id: int,
        number: int | None,
    ) -> None:
        purpose = (
            environ.get("HTTP_SEC_PURPOSE") or environ.get("HTTP_PURPOSE") or environ.get("HTTP_X_MOZ") or ""
        )
        if environ["REQUEST_METHOD"] == "HEAD" or "prefetch" in purpose:
            return  # nobody has seen anything
        agent = environ.get("HTTP_USER_AGENT", "")[:_LONGEST_AGENT]
        ip = environ.get("REMOTE_ADDR", "")
        hit = [int(time.time() * 1000), kind, edition_id, subscriber_id, number, ip, agent]
        self.spool.append(json.dumps(hit, separators=(",", ":")).encode("ascii") + b"\n")
