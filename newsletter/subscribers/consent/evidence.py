"""The consent ledger: one append-only row per fact, written in the transaction of the fact itself.

Its rows are sealed in a hash chain: none can be changed or inserted later without breaking the chain.
Erasing a person blanks the personal columns and does not break it (GDPR Art. 7(1), 17).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from newsletter.db import db
from newsletter.ledger import hash_chain
from newsletter.subscribers.consent.texts import current_notice_version
from newsletter.subscribers.models import Consent, ConsentKind, MailingList, Purpose, Subscriber

#: The name of the ledger's hash chain.
CONSENT_CHAIN = "consents"


@dataclass(frozen=True, slots=True)
class Visit:
    """Origin of an act: client address, user agent and page."""

    ip: str
    user_agent: str = ""
    #: The page with the form, without query and fragment.
    form_url: str | None = None
    #: Comma-separated flags such as "hasty" or "scanner".
    remarks: str | None = None


def record_consent(
    kind: ConsentKind,
    subscriber: Subscriber,
    *,
    now: datetime,
    method: str,
    visit: Visit,
    mailing_list: MailingList | None = None,
    wording_id: int | None = None,
    mail_id: str | None = None,
) -> None:
    """Append a row to the consent ledger; without a list it is about tracking."""
    list_id = mailing_list.id if mailing_list else None
    notice = current_notice_version()
    fact = consent_row(
        kind, subscriber.id, list_id, wording_id, now=now, method=method, visit=visit, notice=notice
    )
    db.session.add(Consent(**fact, mail_id=mail_id))


def consent_row(
    kind: ConsentKind,
    subscriber_id: int,
    list_id: int | None,
    wording_id: int | None,
    *,
    now: datetime,
    method: str,
    visit: Visit,
    notice: int,
) -> dict[str, Any]:
    """Return the column values of a ledger row; without a list it is about tracking."""
    return {
        "subscriber_id": subscriber_id,
        "kind": kind,
        "purpose": Purpose.NEWSLETTER if list_id else Purpose.TRACKING,
        "list_id": list_id,
        "wording_id": wording_id,
        "notice_version": notice,
        "at": now,
        "method": method,
        "form_url": visit.form_url,
        "ip": visit.ip,
        "user_agent": visit.user_agent,
        "remarks": visit.remarks,
    }


def seal_ledger() -> int:
    """Seal the rows that have no seal yet and return how many. Commits."""
    return hash_chain.seal_unsealed(Consent, CONSENT_CHAIN)


def verify_ledger() -> hash_chain.ChainReport:
    """Check every row against its seal."""
    return hash_chain.verify(Consent, CONSENT_CHAIN)
