"""Proof of consent (GDPR art. 7(1)): who, to which words, when, from where, and what followed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from newsletter.config import current_settings
from newsletter.db import db
from newsletter.errors import N_, NotFound
from newsletter.ledger import audit
from newsletter.mail.models import OutboxMail
from newsletter.privacy.models import Statement
from newsletter.subscribers.addresses import hash_address, parse_address
from newsletter.subscribers.models import Consent, MailingList, Subscriber, Wording
from newsletter.web.i18n import translate

#: Labels of how somebody consented or withdrew.
METHOD_LABELS = {
    "form": N_("On the form"),
    "button": N_("By pressing the button on the page of the confirmation link"),
    "browser": N_("By opening the confirmation link in the browser that signed up"),
    "link": N_("Through a link in a mail"),
    "page": N_("On the person's own page"),
    "one-click": N_("With the unsubscribe button of the mail program"),
    "mail": N_("By mail"),
    "undo": N_("By undoing the withdrawal"),
    "complaint": N_("By reporting a newsletter as spam"),
    "staff": N_("Entered by staff"),
    "paper": N_("On paper, entered by staff"),
    "phone": N_("By phone, entered by staff"),
    "meeting": N_("Face to face, entered by staff"),
    "import": N_("Brought in with a file"),
    "api": N_("On the form of another site"),
}


class NoConsentHeld(NotFound):
    """There is no consent of this address, now or before."""

    message = N_("No consent is held of this address.")


@dataclass(frozen=True, slots=True)
class Fact:
    """One entry of the consent ledger; erased fields are None."""

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
    #: What is odd about it: "hasty", "scanner" (CO-6).
    remarks: Sequence[str]
    is_sealed: bool
    list_id: int | None
    #: Of the words.
    language: str | None
    #: What an imported row said of where it came from, and what proves it.
    source: str | None
    evidence: str | None
    #: Set once the person was purged or erased; then this goes too.
    keep_until: datetime | None

    @property
    def how(self) -> str:
        """Return in words how it was said."""
        return translate(METHOD_LABELS.get(self.method, self.method))

    @property
    def is_erased(self) -> bool:
        """True when what pointed to the person is gone."""
        return self.keep_until is not None


@dataclass(frozen=True, slots=True)
class ConsentHistory:
    """One consent from request to withdrawal; after a withdrawal a new one begins."""

    facts: Sequence[Fact]

    @property
    def wordings(self) -> Sequence[Fact]:
        """One fact for each of the words shown; several only when they changed between two requests."""
        return list({fact.wording: fact for fact in self.facts if fact.wording}.values())


@dataclass(frozen=True, slots=True)
class Proof:
    """Everything that proves what an address consented to."""

    address: str
    #: None once the person was purged or erased: then only what was confirmed and withdrawn is left.
    subscriber_id: int | None
    facts: Sequence[Fact]
    #: What the person says is wrong in it, and when.
    statements: Sequence[tuple[datetime, str]] = ()

    @property
    def is_held(self) -> bool:
        """True while the person is here."""
        return self.subscriber_id is not None

    @property
    def histories(self) -> Sequence[ConsentHistory]:
        """The facts grouped by consent: newsletters first, in the order of the requests."""
        return _group_by_consent(self.facts)

    @property
    def kept_until(self) -> date | None:
        """The last day of what is left of someone erased; None when nobody was."""
        ends = [fact.keep_until for fact in self.facts if fact.keep_until]
        return (
            (max(ends).astimezone(current_settings().timezone) - timedelta(days=1)).date() if ends else None
        )


def read_proof(address: str, *, actor: str, now: datetime) -> Proof:
    """Return the proof of an address and record who looked; raise AddressInvalid or NoConsentHeld."""
    proof = get_proof(address)
    known = None if proof.subscriber_id is None else f"subscriber:{proof.subscriber_id}"
    audit.record("consent proof read", actor=actor, now=now, object=known, facts=len(proof.facts))
    return proof


def get_proof(address: str) -> Proof:
    """Return the proof of an address; raise AddressInvalid or NoConsentHeld."""
    parsed = parse_address(address)
    subscriber = db.session.scalar(sa.select(Subscriber).where(Subscriber.address_key == parsed.key))
    belongs = Consent.address_hash == hash_address(parsed.key)
    if subscriber is not None:
        belongs = sa.or_(belongs, Consent.subscriber_id == subscriber.id)
    rows = db.session.execute(
        sa.select(Consent, MailingList.name, Wording, OutboxMail.accepted_at)
        .outerjoin(MailingList, MailingList.id == Consent.list_id)
        .outerjoin(Wording, Wording.id == Consent.wording_id)
        .outerjoin(OutboxMail, OutboxMail.message_id == Consent.mail_id)
        .where(belongs)
        .order_by(Consent.id)
    )
    facts = [_build_fact(*row) for row in rows]
    if not facts:
        raise NoConsentHeld
    if subscriber is None:
        return Proof(parsed.text, None, facts)
    said = sa.select(Statement.created_at, Statement.text).where(Statement.subscriber_id == subscriber.id)
    statements = [(row.created_at, row.text) for row in db.session.execute(said.order_by(Statement.id))]
    return Proof(subscriber.address, subscriber.id, facts, statements)


def proof_as_dict(proof: Proof) -> dict[str, Any]:
    """Return the proof for JSON, instants as ISO 8601 in UTC."""
    return {
        "address": proof.address,
        "is_held": proof.is_held,
        "statements": [{"at": at.isoformat(), "text": text} for at, text in proof.statements],
        "facts": [
            {
                name: value.isoformat() if isinstance(value := getattr(fact, name), datetime) else value
                for name in Fact.__dataclass_fields__
            }
            for fact in proof.facts
        ],
    }


def _build_fact(
    consent: Consent,
    list_name: str | None,
    wording: Wording | None,
    mail_accepted_at: datetime | None,
) -> Fact:
    return Fact(
        id=consent.id,
        kind=consent.kind.value,
        purpose=consent.purpose.value,
        list_name=list_name,
        at=consent.at,
        method=consent.method,
        wording=wording.text if wording else None,
        wording_version=wording.version if wording else None,
        notice_version=consent.notice_version,
        form_url=consent.form_url,
        ip=consent.ip,
        user_agent=consent.user_agent,
        mail_id=consent.mail_id,
        mail_accepted_at=mail_accepted_at,
        remarks=consent.remarks.split(",") if consent.remarks else [],
        is_sealed=consent.is_sealed,
        list_id=consent.list_id,
        language=wording.language if wording else None,
        source=consent.source,
        evidence=consent.proof,
        keep_until=consent.keep_until,
    )


def _group_by_consent(facts: Sequence[Fact]) -> list[ConsentHistory]:
    open_histories: dict[tuple[str, int | None], list[Fact]] = {}
    histories: list[list[Fact]] = []
    for fact in facts:
        about = (fact.purpose, fact.list_id)
        told = open_histories.setdefault(about, [])
        if not told:
            histories.append(told)
        told.append(fact)
        if fact.kind == "withdrawn":
            del open_histories[about]
    histories.sort(key=lambda told: told[0].list_id is None)
    return [ConsentHistory(told) for told in histories]
