"""The OpenAPI document of the API, and a self-hosted page to read it."""

from typing import Any

from flask import Blueprint, Flask, current_app, jsonify, render_template
from flask.typing import ResponseReturnValue
from flask_smorest import Api

from newsletter.api import auth
from newsletter.api.resources import campaigns, lists, rights_requests, subscribers, suppressions
from newsletter.config import current_settings

bp = Blueprint("api_document", __name__, url_prefix="/api/v1")

RESOURCES = (lists.bp, subscribers.bp, campaigns.bp, suppressions.bp, rights_requests.bp)


class NewsletterApi(Api):  # type: ignore[misc] # flask-smorest has no types
    """flask-smorest without its error handlers, which would turn every page of the site into JSON."""

    def _register_error_handlers(self) -> None:
        """Register none: the resources have their own."""


def init_app(app: Flask) -> None:
    """Register the resources and their document."""
    app.config.update(API_TITLE="Newsletter", API_VERSION="v1", OPENAPI_VERSION="3.1.0")
    api = NewsletterApi(app)
    for resource in RESOURCES:
        api.register_blueprint(resource)
    bearer = {"type": "http", "scheme": "bearer", "description": "newsletter tokens create …"}
    api.spec.components.security_scheme("token", bearer)
    api.spec.options["security"] = [{"token": []}]
    app.extensions["newsletter.api"] = api
    app.register_blueprint(bp)


@bp.get("/openapi.json")
def openapi() -> ResponseReturnValue:
    return jsonify(build_document())


@bp.get("/docs")
def docs() -> ResponseReturnValue:
    described = build_document()
    return render_template("api/docs.html", document=described, operations=list(_operations(described)))


def build_document() -> dict[str, Any]:
    """Return the OpenAPI document with the scope of each operation."""
    made: dict[str, Any] = current_app.extensions["newsletter.api"].spec.to_dict()
    made["paths"] |= {"/api/v1/subscriptions": {"post": _SIGNUP_OPERATION}}
    made["servers"] = [{"url": current_settings().base_url}]
    for rule in current_app.url_map.iter_rules():
        scope = auth.required_scope(current_app.view_functions[rule.endpoint])
        path = made["paths"].get(rule.rule.replace("<int:", "{").replace("<", "{").replace(">", "}"), {})
        for method in (rule.methods or set()) & {"GET", "POST", "PUT"}:
            if scope is not None and method.lower() in path:
                operation = path[method.lower()]
                operation["security"] = [{"token": [scope]}]
                if method == "POST" and not scope.endswith(":read"):
                    operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY_HEADER)
                if "412" in operation["responses"]:
                    must = "428" in operation["responses"]
                    operation.setdefault("parameters", []).append(_IF_MATCH_HEADER | {"required": must})
    return made


_SIGNUP_OPERATION = {
    "summary": "Ask for a subscription, as the form does",
    "description": "For other sites: no token, the form's limits, one answer for all addresses.",
    "tags": ["api_subscribers"],
    "security": [],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["email", "lists", "consent"],
                    "properties": {
                        "email": {"type": "string"},
                        "lists": {"type": "array", "items": {"type": "string"}},
                        "consent": {"type": "boolean"},
                        "tracking": {"type": "boolean"},
                        "language": {"type": "string"},
                    },
                }
            }
        },
    },
    "responses": {
        "202": {"description": "A confirmation mail is on its way, if there was anything to confirm."},
        **{str(status): {"description": "A problem document."} for status in (400, 413, 415, 422, 429)},
    },
}

_IDEMPOTENCY_KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
    "description": "Sent again within a day with the same body, the write is done once.",
}

_IF_MATCH_HEADER = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
    "description": "The ETag of what you have read: written over nothing that you have not seen.",
}


def _operations(described: dict[str, Any]) -> Any:  # noqa: ANN401
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            if method in {"get", "post", "put"}:
                yield method.upper(), path, operation
