"""The proof of a consent, on one page: who, what words, when, from where, and what followed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from newsletter.db import db
from newsletter.errors import N_, NotFound
from newsletter.mail.models import OutboxMail
from newsletter.subscribers.addresses import hash_address, parse_address
from newsletter.subscribers.models import Consent, MailingList, Subscriber, Wording


class NothingHeld(NotFound):
    """There is no consent of this address, now or before."""

    message = N_("No consent is held of this address.")


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the proof; what has been erased is None."""

    id: int
    kind: str
    purpose: str
    list_name: str | None
    at: datetime
    method: str
    wording: str | None
    wording_version: int | None
    notice_version: int
    form_url: str | None
    ip: str | None
    user_agent: str | None
    mail_id: str | None
    mail_accepted_at: datetime | None
    is_sealed: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """Everything that proves what an address consented to."""

    address: str
    #: False once the person was purged or erased: then only what was confirmed and withdrawn is left.
    is_held: bool
    facts: Sequence[Fact]


def find_proof(address: str) -> Proof:
    """Return the proof of an address; raise AddressInvalid or NothingHeld."""
    parsed = parse_address(address)
    subscriber = db.session.scalar(sa.select(Subscriber).where(Subscriber.address_key == parsed.key))
    belongs = Consent.address_hash == hash_address(parsed.key)
    if subscriber is not None:
        belongs = sa.or_(belongs, Consent.subscriber_id == subscriber.id)
    rows = db.session.execute(
        sa.select(Consent, MailingList.name, Wording.text, Wording.version, OutboxMail.accepted_at)
        .outerjoin(MailingList, MailingList.id == Consent.list_id)
        .outerjoin(Wording, Wording.id == Consent.wording_id)
        .outerjoin(OutboxMail, OutboxMail.message_id == Consent.mail_id)
        .where(belongs)
        .order_by(Consent.id)
    )
    facts = [_fact(*row) for row in rows.tuples()]
    if not facts:
        raise NothingHeld
    return Proof(subscriber.address if subscriber else parsed.text, subscriber is not None, facts)


def as_data(proof: Proof) -> dict[str, Any]:
    """Return the proof for JSON, instants as ISO 8601 in UTC."""
    return {
        "address": proof.address,
        "is_held": proof.is_held,
        "facts": [
            {
                name: value.isoformat() if isinstance(value := getattr(fact, name), datetime) else value
                for name in Fact.__dataclass_fields__
            }
            for fact in proof.facts
        ],
    }


def _fact(
    consent: Consent,
    list_name: str | None,
    text: str | None,
    version: int | None,
    mail_accepted_at: datetime | None,
) -> Fact:
    return Fact(
        id=consent.id,
        kind=consent.kind.value,
        purpose=consent.purpose.value,
        list_name=list_name,
        at=consent.at,
        method=consent.method,
        wording=text,
        wording_version=version,
        notice_version=consent.notice_version,
        form_url=consent.form_url,
        ip=consent.ip,
        user_agent=consent.user_agent,
        mail_id=consent.mail_id,
        mail_accepted_at=mail_accepted_at,
        is_sealed=consent.is_sealed,
    )
