"""What every resource of the API has: the gate, problem documents, and its place in the document."""

from typing import Any

from flask import Request, Response, abort, jsonify, request
from flask_smorest import Blueprint
from flask_smorest.arguments import FlaskParser
from marshmallow import Schema
from werkzeug.exceptions import HTTPException

from newsletter.api import auth
from newsletter.api.problems import from_http_error, from_refusal
from newsletter.api.schemas import ProblemOut
from newsletter.errors import NewsletterError


class StrictParser(FlaskParser):  # type: ignore[misc] # flask-smorest has no types
    """Takes nothing for absent that is there: not in a query, and not in a body that is no JSON."""

    # Else a query may hold what the schema does not know, and a mistyped filter filters nothing.
    DEFAULT_UNKNOWN_BY_LOCATION = FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION | {"query": None}

    def load_json(self, req: Request, schema: Schema) -> Any:  # noqa: ANN401 - whatever was sent
        """Read the body, if there is one."""
        # Else a campaign whose day came as a form would go out at once: curl says "form" unless told.
        if req.get_data() and not req.is_json:
            abort(415)
        try:
            return super().load_json(req, schema)
        except RecursionError:  # nested deeper than anything reads
            abort(400)


class Resource(Blueprint):  # type: ignore[misc] # the same
    """A resource that reads strictly."""

    ARGUMENTS_PARSER = StrictParser()


def make_resource(name: str, description: str) -> Blueprint:
    """Return the blueprint of a resource under /api/v1."""
    bp = Resource(f"api_{name}", __name__, url_prefix="/api/v1", description=description)
    bp.before_request(auth.enter)
    bp.after_request(auth.leave)
    bp.register_error_handler(HTTPException, from_http_error)
    bp.register_error_handler(NewsletterError, from_refusal)
    return bp


def require_match(schema: Schema, seen: Any, *, must: bool = False) -> None:  # noqa: ANN401 - smorest's data
    """Hold a write to what the program has seen of it: ``If-Match`` names the ETag of its GET.

    ``seen`` is what that GET would show now, and has to be locked. Another ETag is a 412, and with
    ``must`` none at all a 428.
    """
    if not request.headers.get("If-Match"):
        if must:
            abort(428)
        return
    shown = Response(jsonify(schema.dump(seen)).get_data())
    shown.add_etag()
    if not request.if_match.contains(shown.get_etag()[0] or ""):
        abort(412)


def refuses(bp: Blueprint, *statuses: int) -> Any:  # noqa: ANN401 - a decorator of smorest's
    """Say in the document which problems an endpoint answers with, besides those of every endpoint."""

    def document(view: Any) -> Any:  # noqa: ANN401
        for status in (401, 403, 429, *statuses):
            view = bp.alt_response(
                status, schema=ProblemOut, success=False, content_type="application/problem+json"
            )(view)
        return view

    return document
