"""``/hooks/…``: webhooks for relays and own programs."""

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from newsletter.bounces.matching import match_mail
from newsletter.bounces.receive import record_report, take_once
from newsletter.bounces.reputation_guard import pause_if_needed
from newsletter.bounces.sources import sns
from newsletter.bounces.sources.webhooks import ReportInvalid, SignatureInvalid, once_of, read_reports
from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db

#: Events taken in by one transaction.
_BATCH = 100

bp = Blueprint("bounces", __name__, url_prefix="/hooks")


@bp.post("/<relay>")
def take(relay: str) -> ResponseReturnValue:
    """Respond 204 when the reports are stored; relays retry on anything else."""
    body, now = request.get_data(cache=False), utcnow()
    try:
        reports = read_reports(relay, current_settings(), request.headers, body, now)
    except KeyError as error:
        raise NotFound from error
    except SignatureInvalid:
        return "", 401
    except ReportInvalid:
        return "", 422
    if relay == "ses" and sns.confirm_subscription(body):
        return "", 204
    token = once_of(relay, body)
    if token is not None and not take_once(token, now):
        db.session.rollback()
        return "", 401
    for number, reported in enumerate(reports, 1):
        # The JSON is not stored: the row has all of it.
        named = match_mail(reported.reading.naming)
        # A relay reports on the mails of other programs too; what we do not know is kept for staff.
        if named is not None or reported.raw:
            record_report(reported.reading, named, source=relay, now=now, raw=reported.raw)
        if number % _BATCH == 0:
            db.session.commit()
    db.session.commit()
    pause_if_needed(now)
    return "", 204
