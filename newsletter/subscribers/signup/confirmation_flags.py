"""Flags on confirmations that look automatic: they count all the same, and the evidence says so (CO-6)."""

import re
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.db import db
from newsletter.mail.models import OutboxMail
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.models import Consent, ConsentKind, Subscriber

#: A confirmation this soon after the mail was accepted is flagged: a person opens the mail first.
HASTY_WITHIN = timedelta(seconds=3)
#: User agents of link scanners and automated browsers.
_SCANNER_PATTERN = re.compile(
    r"barracuda|bitdefender|headless|ironport|mimecast|phantomjs|proofpoint|puppeteer|safelinks|selenium"
    r"|symantec|trendmicro|urlscan|zscaler|bot\b|crawler|spider"
    r"|^(?:curl|go-http-client|java|libwww|okhttp|python|wget)\b",
    re.IGNORECASE,
)


def flag_confirmation(subscriber: Subscriber, *, now: datetime, visit: Visit) -> str | None:
    """Return the comma-separated flags of confirming now with this origin; None when there are none."""
    found = []
    accepted_at = db.session.scalar(
        sa.select(OutboxMail.accepted_at)
        .join(Consent, Consent.mail_id == OutboxMail.message_id)
        .where(OutboxMail.subscriber_id == subscriber.id)
        .where(Consent.subscriber_id == subscriber.id, Consent.kind == ConsentKind.ASKED)
        .order_by(OutboxMail.accepted_at.desc().nulls_last())
        .limit(1)
    )
    if accepted_at is not None and now - accepted_at < HASTY_WITHIN:
        found.append("hasty")
    if not visit.user_agent or _SCANNER_PATTERN.search(visit.user_agent):
        found.append("scanner")
    return ",".join(found) or None
