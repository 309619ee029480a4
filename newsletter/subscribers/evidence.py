"""The consent ledger: one row a fact, written in the transaction of the fact itself."""

from dataclasses import dataclass
from datetime import datetime

from newsletter.db import db
from newsletter.subscribers.models import (
    Consent,
    ConsentKind,
    MailingList,
    Purpose,
    Subscriber,
    Wording,
)
from newsletter.subscribers.wordings import NOTICE_VERSION


@dataclass(frozen=True, slots=True)
class Visit:
    """Where an act came from."""

    ip: str
    user_agent: str = ""
    #: The page with the form, without query and fragment.
    form_url: str | None = None


def record_consent(
    kind: ConsentKind,
    subscriber: Subscriber,
    *,
    now: datetime,
    method: str,
    visit: Visit,
    mailing_list: MailingList | None = None,
    wording: Wording | None = None,
    outbox_id: int | None = None,
) -> None:
    """Append a fact; without a list it is about tracking."""
    db.session.add(
        Consent(
            subscriber_id=subscriber.id,
            kind=kind,
            purpose=Purpose.NEWSLETTER if mailing_list else Purpose.TRACKING,
            list_id=mailing_list.id if mailing_list else None,
            wording_id=wording.id if wording else None,
            notice_version=NOTICE_VERSION,
            at=now,
            method=method,
            form_url=visit.form_url,
            ip=visit.ip,
            user_agent=visit.user_agent,
            outbox_id=outbox_id,
        )
    )
