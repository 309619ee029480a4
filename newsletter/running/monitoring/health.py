"""``/healthz``, ``/readyz`` and ``/metrics``: liveness, readiness and Prometheus metrics."""

import logging
import shutil
from datetime import datetime, timedelta

import sqlalchemy as sa
from flask import Blueprint, Flask, Response, jsonify, request
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import Forbidden, NotFound

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.config.parsers import is_loopback
from newsletter.db import db
from newsletter.mail.models import MailStatus, OutboxMail
from newsletter.running import migrations
from newsletter.running.monitoring import job_status, metrics
from newsletter.staff.api_tokens import find_token

log = logging.getLogger(__name__)

bp = Blueprint("health", __name__)

#: A mail that has waited so long for its first try tells that no worker is running.
MAX_MAIL_WAIT = timedelta(minutes=15)
MIN_DISK_BYTES = 100 * 1024 * 1024


def init_app(app: Flask) -> None:
    """Add the pages."""
    app.register_blueprint(bp)


@bp.get("/healthz")
def healthz() -> ResponseReturnValue:
    return jsonify(status="ok")


@bp.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Answer 503 when this process cannot serve; what only needs a look is named in ``warnings``."""
    try:
        migrated = migrations.current_revision() == migrations.head_revision()
    except SQLAlchemyError:
        log.exception("database not reachable")
        return jsonify(status="database not reachable"), 503
    if not migrated:
        return jsonify(status="migrations are due"), 503
    if shutil.disk_usage(current_settings().instance_path).free < MIN_DISK_BYTES:
        return jsonify(status="the disk is full"), 503
    return jsonify(status="ok", warnings=list_warnings(utcnow()))


def list_warnings(now: datetime) -> list[str]:
    """Name what does not stop the pages but does stop the work."""
    found = ["mails wait and no worker takes them"] if is_mail_waiting(now) else []
    if job_status.is_silent(now):
        found.append("no worker has been at work for ten minutes")
    return found + [f"periodic work fails: {job.name}" for job, _run in job_status.failing(now)]


def is_mail_waiting(now: datetime) -> bool:
    """Tell whether mails have been waiting for their first try for long."""
    oldest = db.session.scalar(
        sa.select(sa.func.min(OutboxMail.due_at)).where(
            OutboxMail.status == MailStatus.QUEUED, OutboxMail.attempts == 0
        )
    )
    return oldest is not None and oldest < now - MAX_MAIL_WAIT


@bp.get("/.well-known/security.txt")
def security_txt() -> ResponseReturnValue:
    """Say where to report a weakness (RFC 9116)."""
    settings = current_settings()
    contact = settings.privacy_contact or settings.sender_address
    if not contact:
        raise NotFound
    expires = (utcnow() + timedelta(days=180)).strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = (
        f"Contact: {f'mailto:{contact}' if '@' in contact and ' ' not in contact else settings.base_url}",
        f"Expires: {expires}",
        f"Preferred-Languages: {', '.join(settings.languages)}",
        f"Canonical: {current_settings().base_url}/.well-known/security.txt",
    )
    return Response("\n".join(lines) + "\n", content_type="text/plain; charset=utf-8")


@bp.get("/metrics")
def show_metrics() -> ResponseReturnValue:
    if not _may_read_metrics():
        raise Forbidden
    return Response(metrics.render(utcnow()), content_type="text/plain; version=0.0.4; charset=utf-8")


def _may_read_metrics() -> bool:
    """This machine may, unless a proxy of ours stands on it; elsewhere it takes a token."""
    kind, _space, secret = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":
        token = find_token(secret.strip(), now=utcnow())
        return token is not None and "metrics:read" in token.scopes
    forwarded = {"X-Forwarded-For", "Forwarded"} & {name.title() for name, _value in request.headers}
    return is_loopback(request.remote_addr or "") and not forwarded
