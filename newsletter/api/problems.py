"""Problem documents (RFC 9457): how the API says no."""

import json
from collections.abc import Mapping

from flask import Response
from flask_babel import gettext as _
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES


def problem(status: int, detail: str, errors: Mapping[str, str] | None = None) -> Response:
    """Return a problem document; ``errors`` has a sentence for each field that is wrong."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": HTTP_STATUS_CODES[status],
        "status": status,
        "detail": detail,
    }
    if errors:
        document["errors"] = dict(errors)
    return Response(json.dumps(document), status, content_type="application/problem+json")


def from_http_error(error: HTTPException) -> Response:
    """Turn an error of the protocol into a problem document."""
    texts = {
        400: _("The request is not valid JSON."),
        413: _("What was sent is too large."),
        415: _("Send JSON, with Content-Type: application/json."),
        429: _("Too many attempts. Wait a moment and try again."),
    }
    status = error.code or 500
    response = problem(status, texts.get(status, _("Something went wrong. Try again later.")))
    for name, value in error.get_headers():
        if name.lower() in {"allow", "retry-after"}:
            response.headers[name] = value
    return response
