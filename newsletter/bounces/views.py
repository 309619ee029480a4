"""``/hooks/…``: where relays, and programs of one's own, report what came back."""

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from newsletter.bounces.matching import find_named
from newsletter.bounces.receive import record
from newsletter.bounces.reputation_guard import stop_if_needed
from newsletter.bounces.sources import sns
from newsletter.bounces.sources.webhooks import ReportInvalid, SignatureInvalid, read_reports
from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db

bp = Blueprint("bounces", __name__, url_prefix="/hooks")


@bp.post("/<relay>")
def take(relay: str) -> ResponseReturnValue:
    """Answer 204 for what has been taken in; a relay tries anything else again."""
    body, now = request.get_data(cache=False), utcnow()
    try:
        readings = read_reports(relay, current_settings(), request.headers, body, now)
    except KeyError as error:
        raise NotFound from error
    except SignatureInvalid:
        return "", 401
    except ReportInvalid:
        return "", 422
    if relay == "ses" and sns.confirm(body):
        return "", 204
    for reading in readings:
        # The report as JSON is no message: it says no more than the row.
        named = find_named(reading.naming)
        if named is not None:  # a relay reports on the mails of other programs too
            record(reading, named, source=relay, now=now, raw=b"")
            db.session.commit()
    stop_if_needed(now)
    return "", 204
