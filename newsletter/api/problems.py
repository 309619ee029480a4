"""Problem documents (RFC 9457): the error responses of the API.

``code`` is stable, for programs; ``detail`` is a sentence in the requested language.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from flask import Response
from flask_babel import gettext as _
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from newsletter.errors import NewsletterError
from newsletter.web.app import STATUS
from newsletter.web.i18n import translate

PROBLEM_CODES = {
    400: "bad_request",
    401: "token_missing",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    412: "precondition_failed",
    413: "too_large",
    415: "not_json",
    422: "invalid",
    428: "precondition_required",
    429: "too_many_requests",
}


def problem(
    status: int, detail: str, errors: Mapping[str, Any] | None = None, *, code: str | None = None
) -> Response:
    """Return a problem document; ``errors`` has messages by field."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": HTTP_STATUS_CODES[status],
        "status": status,
        "code": code or PROBLEM_CODES.get(status, "error"),
        "detail": detail,
    }
    if errors:
        document["errors"] = dict(errors)
    return Response(json.dumps(document), status, content_type="application/problem+json")


def from_http_error(error: HTTPException) -> Response:
    """Return the problem document of an HTTP error."""
    texts = {
        400: _("The request is not valid JSON."),
        401: _("Send a token: Authorization: Bearer …"),
        403: _("This token is for some lists only, and this is about all of them."),
        404: _("There is nothing here."),
        405: _("This address does not take that method."),
        412: _("It has been changed since you read it. Read it again."),
        413: _("What was sent is too large."),
        415: _("Send JSON, with Content-Type: application/json."),
        422: _("Please check these points"),
        428: _("Send If-Match with the ETag of what you have read."),
        429: _("Too many attempts. Wait a moment and try again."),
    }
    status = error.code or 500
    detail = texts.get(status, _("Something went wrong. Try again later."))
    response = problem(status, detail, _field_errors(error))
    for name, value in error.get_headers():
        if name.lower() in {"allow", "retry-after", "www-authenticate"}:
            response.headers[name] = value
    return response


def from_newsletter_error(error: NewsletterError) -> Response:
    """Return the problem document of a NewsletterError; its code is the class name in snake case."""
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 422)
    code = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    return problem(status, translate(error.message, error.values), code=code)


def _field_errors(error: HTTPException) -> dict[str, Any]:
    """Return marshmallow's messages by field; submitted values are not repeated."""
    messages = (getattr(error, "data", None) or {}).get("messages", {})
    found: dict[str, Any] = {}
    for place in messages.values():
        if isinstance(place, dict):
            found |= {str(name)[:60]: texts for name, texts in place.items()}
    return found
