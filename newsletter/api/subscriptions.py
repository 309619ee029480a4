"""``POST /api/v1/subscriptions``: the signup form for the scripts of other sites.

The same request, the same limits and the same silence about addresses as the form's.
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
from newsletter.subscribers.abuse import circuit_breaker
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.consent.tracking import ALLOW, REFUSE, silence_is_measured
from newsletter.subscribers.public.blueprint import visit
from newsletter.subscribers.signup import request as signup_request
from newsletter.subscribers.signup.form import read_form
from newsletter.subscribers.signup.queue import HeldUp, take_in
from newsletter.web.app import allow_cors
from newsletter.web.i18n import language, set_response_language, translate

bp = Blueprint("api_subscriptions", __name__, url_prefix="/api/v1")
bp.register_error_handler(HTTPException, from_http_error)
bp.after_request(allow_cors)

LONGEST = 20_000
MOST_LISTS = 100
#: What a field may hold; anything else is refused rather than guessed at.
TYPES: dict[str, type] = {"email": str, "lists": list, "consent": bool, "tracking": bool, "language": str}


# Flask would answer OPTIONS itself, without the headers a browser asks for before it posts.
@bp.post("/subscriptions", provide_automatic_options=False)
def create() -> ResponseReturnValue:
    sent = _read_json()
    asked = sent.get("language")
    set_response_language(asked if isinstance(asked, str) else language())
    errors = _wrong_types(sent)
    filled = read_form(_as_form(sent), language())
    if errors | filled.errors or filled.request is None:
        detail = _("Please check these points")
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, filled.errors | errors)
    try:
        take_in(filled.request, now=utcnow(), visit=_visit(), method="api")
    except HeldUp as held_up:
        return _busy(held_up)
    return jsonify(message=translate(signup_request.ANSWER)), HTTPStatus.ACCEPTED


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
    if (request.content_length or 0) > LONGEST:
        abort(413)
    try:
        sent = json.loads(request.get_data(cache=False)[: LONGEST + 1], object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        abort(400)
    return sent if isinstance(sent, dict) else abort(400)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a field given twice: two readers would not agree on what it says."""
    names = [name for name, _value in pairs]
    if len(set(names)) < len(names):
        raise ValueError("a field is given twice")
    return dict(pairs)


def _wrong_types(sent: dict[str, Any]) -> dict[str, str]:
    errors = {str(name)[:60]: _("There is no such field.") for name in sent if name not in TYPES}
    for name, kind in TYPES.items():
        if name in sent and not isinstance(sent[name], kind):
            errors[name] = _("This field holds the wrong kind of value.")
    lists = sent.get("lists", [])
    if isinstance(lists, list) and (
        len(lists) > MOST_LISTS or not all(isinstance(item, str) for item in lists)
    ):
        errors["lists"] = _("This field holds the wrong kind of value.")
    if sent.get("language", language()) not in current_settings().languages:
        errors["language"] = _(
            "Choose one of these languages: %(codes)s", codes=", ".join(current_settings().languages)
        )
    return errors


def _as_form(sent: dict[str, Any]) -> MultiDict[str, str]:
    """Return the fields as the form would send them, leaving out those of the wrong kind."""
    form: MultiDict[str, str] = MultiDict()
    if isinstance(sent.get("email"), str):
        form["email"] = sent["email"]
    if isinstance(sent.get("lists"), list):
        form.setlist("lists", [item for item in sent["lists"][:MOST_LISTS] if isinstance(item, str)])
    if sent.get("consent") is True:
        form["consent"] = "yes"
    if sent.get("tracking") is True:
        form["tracking"] = ALLOW
    elif sent.get("tracking") is False and silence_is_measured():
        form["tracking"] = REFUSE  # a box left empty allows nothing, whatever the mode is
    return form


def _visit() -> Visit:
    """Return where the form stands: its page, or where a browser keeps that to itself, its site."""
    return visit(request.referrer or request.headers.get("Origin"))


def _busy(held_up: HeldUp) -> Response:
    response = problem(HTTPStatus.TOO_MANY_REQUESTS, translate(held_up.message))
    response.headers["Retry-After"] = str(circuit_breaker.seconds_left(utcnow()))
    return response
