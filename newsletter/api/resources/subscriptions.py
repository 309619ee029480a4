"""``POST /api/v1/subscriptions``: signup for scripts of other sites, without a token.

With the same validation and limits as the form, and the same response for every address.
"""

import json
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException

from newsletter.api.problems import from_http_error, problem
from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.consent.tracking import ALLOW, REFUSE, is_tracked_by_default
from newsletter.subscribers.public.blueprint import current_visit
from newsletter.subscribers.signup import request as signup_request
from newsletter.subscribers.signup.form import read_form
from newsletter.subscribers.signup.queue import HeldUp, enqueue_signup
from newsletter.web.app import allow_cors
from newsletter.web.i18n import language, set_response_language, translate

bp = Blueprint("api_subscriptions", __name__, url_prefix="/api/v1")
bp.register_error_handler(HTTPException, from_http_error)
bp.after_request(allow_cors)

MAX_BODY_BYTES = 20_000
MAX_LISTS = 100
#: The JSON type of each field; others are refused.
FIELD_TYPES: dict[str, type] = {
    "email": str,
    "lists": list,
    "consent": bool,
    "tracking": bool,
    "language": str,
}


# Flask's own response to OPTIONS lacks the CORS headers of a preflight.
@bp.post("/subscriptions", provide_automatic_options=False)
def create() -> ResponseReturnValue:
    sent = _read_json()
    asked = sent.get("language")
    set_response_language(asked if isinstance(asked, str) else language())
    errors = _type_errors(sent)
    filled = read_form(_as_form(sent), language())
    if errors | filled.errors or filled.request is None:
        detail = _("Please check these points")
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, filled.errors | errors)
    try:
        enqueue_signup(filled.request, now=utcnow(), visit=_visit(), method="api")
    except HeldUp as held_up:
        return _too_many_requests(held_up)
    return jsonify(message=translate(signup_request.NEUTRAL_ANSWER)), HTTPStatus.ACCEPTED


@bp.route("/subscriptions", methods=["OPTIONS"])
def preflight() -> ResponseReturnValue:
    response = Response(status=HTTPStatus.NO_CONTENT)
    if request.headers.get("Origin", "") in current_settings().embed_origins:
        response.headers["Access-Control-Allow-Methods"] = "POST"
        response.headers["Access-Control-Allow-Headers"] = "Content-Type"
        response.headers["Access-Control-Max-Age"] = "7200"
    return response


def _read_json() -> dict[str, Any]:
    if not request.is_json:
        abort(415)
    if (request.content_length or 0) > MAX_BODY_BYTES:
        abort(413)
    try:
        sent = json.loads(
            request.get_data(cache=False)[: MAX_BODY_BYTES + 1], object_pairs_hook=_reject_duplicates
        )
    except (ValueError, RecursionError):
        abort(400)
    return sent if isinstance(sent, dict) else abort(400)


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse duplicate field names, which JSON parsers interpret differently (RFC 8259, 4)."""
    names = [name for name, _value in pairs]
    if len(set(names)) < len(names):
        raise ValueError("a field is given twice")
    return dict(pairs)


def _type_errors(sent: dict[str, Any]) -> dict[str, str]:
    errors = {str(name)[:60]: _("There is no such field.") for name in sent if name not in FIELD_TYPES}
    for name, kind in FIELD_TYPES.items():
        if name in sent and not isinstance(sent[name], kind):
            errors[name] = _("This field holds the wrong kind of value.")
    lists = sent.get("lists", [])
    if isinstance(lists, list) and (
        len(lists) > MAX_LISTS or not all(isinstance(item, str) for item in lists)
    ):
        errors["lists"] = _("This field holds the wrong kind of value.")
    if sent.get("language", language()) not in current_settings().languages:
        errors["language"] = _(
            "Choose one of these languages: %(codes)s", codes=", ".join(current_settings().languages)
        )
    return errors


def _as_form(sent: dict[str, Any]) -> MultiDict[str, str]:
    """Return the fields as form data, without those of a wrong type."""
    form: MultiDict[str, str] = MultiDict()
    if isinstance(sent.get("email"), str):
        form["email"] = sent["email"]
    if isinstance(sent.get("lists"), list):
        form.setlist("lists", [item for item in sent["lists"][:MAX_LISTS] if isinstance(item, str)])
    if sent.get("consent") is True:
        form["consent"] = "yes"
    if sent.get("tracking") is True:
        form["tracking"] = ALLOW
    elif sent.get("tracking") is False and is_tracked_by_default():
        form["tracking"] = REFUSE  # a box left empty allows nothing, whatever the mode is
    return form


def _visit() -> Visit:
    """Return the origin, with the page of the form: Referer, or Origin when that is withheld."""
    return current_visit(request.referrer or request.headers.get("Origin"))


def _too_many_requests(held_up: HeldUp) -> Response:
    response = problem(HTTPStatus.TOO_MANY_REQUESTS, translate(held_up.message))
    response.headers["Retry-After"] = str(held_up.seconds)
    return response
