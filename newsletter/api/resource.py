"""Base of the API resources: authentication, problem documents, conditional requests."""

from typing import Any

from flask import Request, Response, abort, jsonify, request
from flask_smorest import Blueprint
from flask_smorest.arguments import FlaskParser
from marshmallow import Schema
from werkzeug.exceptions import HTTPException

from newsletter.api import auth
from newsletter.api.problems import from_http_error, from_newsletter_error
from newsletter.api.schemas import ProblemOut
from newsletter.errors import NewsletterError


class StrictParser(FlaskParser):  # type: ignore[misc] # flask-smorest has no types
    """Request parser that ignores nothing: no unknown query field, and no body that is not JSON."""

    # By default unknown query fields are ignored, so a mistyped filter would filter nothing.
    DEFAULT_UNKNOWN_BY_LOCATION = FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION | {"query": None}

    def load_json(self, req: Request, schema: Schema) -> Any:  # noqa: ANN401 - whatever was sent
        """Parse the body, if there is one; abort with 415 or 400."""
        # Ignoring a form body (curl's default) would send a scheduled campaign at once.
        if req.get_data() and not req.is_json:
            abort(415)
        try:
            return super().load_json(req, schema)
        except RecursionError:  # nested deeper than anything reads
            abort(400)


class Resource(Blueprint):  # type: ignore[misc] # the same
    """Blueprint with the strict parser."""

    ARGUMENTS_PARSER = StrictParser()


def make_resource(name: str, description: str) -> Blueprint:
    """Return the blueprint of a resource under /api/v1."""
    bp = Resource(f"api_{name}", __name__, url_prefix="/api/v1", description=description)
    bp.before_request(auth.authenticate)
    bp.after_request(auth.finish_response)
    bp.register_error_handler(HTTPException, from_http_error)
    bp.register_error_handler(NewsletterError, from_newsletter_error)
    return bp


def require_if_match(schema: Schema, seen: Any, *, must: bool = False) -> None:  # noqa: ANN401 - smorest's data
    """Check If-Match against the ETag of the resource (RFC 9110, 13.1.1).

    ``seen`` is what its GET would return now, and has to be locked. Aborts with 412 for another ETag, and,
    with ``must``, with 428 for none.
    """
    if not request.headers.get("If-Match"):
        if must:
            abort(428)
        return
    shown = Response(jsonify(schema.dump(seen)).get_data())
    shown.add_etag()
    if not request.if_match.contains(shown.get_etag()[0] or ""):
        abort(412)


def documents_problems(bp: Blueprint, *statuses: int) -> Any:  # noqa: ANN401 - a decorator of smorest's
    """Document the problems of an endpoint, in addition to those of every endpoint."""

    def document(view: Any) -> Any:  # noqa: ANN401
        for status in (401, 403, 429, *statuses):
            view = bp.alt_response(
                status, schema=ProblemOut, success=False, content_type="application/problem+json"
            )(view)
        return view

    return document
