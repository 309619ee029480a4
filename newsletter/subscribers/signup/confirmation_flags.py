"""What is odd about a confirmation: it counts all the same, and the evidence says so (CO-6)."""

import re
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.db import db
from newsletter.mail.models import OutboxMail
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.models import Consent, ConsentKind, Subscriber

#: A program that presses the button does so at once; a person opens the mail first.
HASTY = timedelta(seconds=3)
#: What programs call themselves that follow the links of mails, or drive a browser.
_SCANNERS = re.compile(
    r"barracuda|bitdefender|headless|ironport|mimecast|phantomjs|proofpoint|puppeteer|safelinks|selenium"
    r"|symantec|trendmicro|urlscan|zscaler|bot\b|crawler|spider"
    r"|^(?:curl|go-http-client|java|libwww|okhttp|python|wget)\b",
    re.IGNORECASE,
)


def remarks_on(subscriber: Subscriber, *, now: datetime, visit: Visit) -> str | None:
    """Return what is odd about confirming now, from there; None when nothing is."""
    found = []
    accepted_at = db.session.scalar(
        sa.select(OutboxMail.accepted_at)
        .join(Consent, Consent.mail_id == OutboxMail.message_id)
        .where(OutboxMail.subscriber_id == subscriber.id)
        .where(Consent.subscriber_id == subscriber.id, Consent.kind == ConsentKind.ASKED)
        .order_by(OutboxMail.accepted_at.desc().nulls_last())
        .limit(1)
    )
    if accepted_at is not None and now - accepted_at < HASTY:
        found.append("hasty")
    if not visit.user_agent or _SCANNERS.search(visit.user_agent):
        found.append("scanner")
    return ",".join(found) or None
