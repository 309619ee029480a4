"""``/healthz`` and ``/readyz``: is this process alive, and can it do its work."""

import logging

from flask import Blueprint, Flask, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from newsletter.running import schema

log = logging.getLogger(__name__)

bp = Blueprint("health", __name__)


def init_app(app: Flask) -> None:
    """Add the two pages."""
    app.register_blueprint(bp)


@bp.get("/healthz")
def healthz() -> ResponseReturnValue:
    return jsonify(status="ok")


@bp.get("/readyz")
def readyz() -> ResponseReturnValue:
    try:
        migrated = schema.current() == schema.newest()
    except SQLAlchemyError:
        log.exception("database not reachable")
        return jsonify(status="database not reachable"), 503
    return (jsonify(status="ok"), 200) if migrated else (jsonify(status="migrations are due"), 503)
