"""Disclosures of personal data to third parties, and holds that keep data from being deleted."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from newsletter.db import db
from newsletter.errors import N_, NewsletterError, NotFound
from newsletter.ledger import audit
from newsletter.privacy.models import Disclosure, Hold, Objection
from newsletter.privacy.requests.register import ReasonMissing
from newsletter.subscribers.addresses import parse_address
from newsletter.subscribers.queries import get_subscriber

#: Reasons for a hold.
HOLD_REASONS = ("law", "invoice", "collection", "claim")


class DisclosureObjected(NewsletterError):
    """The person has objected to disclosure."""

    message = N_("This person has objected to disclosure. Nothing may be given to others.")


class UnknownHold(NotFound):
    """There is no hold of that id."""


def record_disclosure(
    address: str,
    *,
    recipient: str,
    what: str,
    why: str,
    ground: str,
    now: datetime,
    actor: str,
    contact: str = "",
) -> Disclosure:
    """Record what was disclosed to whom, and the recipient's address if it is to be notified by mail.

    Raises UnknownSubscriber, ReasonMissing, DisclosureObjected or AddressInvalid.
    """
    person = get_subscriber(address)
    if not all(text.strip() for text in (recipient, what, why, ground)):
        raise ReasonMissing
    if db.session.get(Objection, (person.address_hash, "disclosure")) is not None:
        raise DisclosureObjected
    made = Disclosure(
        subscriber_id=person.id,
        recipient=recipient.strip()[:300],
        contact=parse_address(contact).text if contact.strip() else None,
        what=what.strip()[:1000],
        why=why.strip()[:1000],
        ground=ground.strip()[:300],
        at=now,
        actor=actor,
    )
    db.session.add(made)
    audit.record("data disclosed", actor=actor, now=now, object=f"subscriber:{person.id}")
    return made


def place_hold(address: str, reason: str, text: str, *, now: datetime, actor: str) -> Hold:
    """Place a hold on a person's data: no purge, no erasure. Raises UnknownSubscriber, ReasonMissing."""
    person = get_subscriber(address)
    if reason not in HOLD_REASONS or not text.strip():
        raise ReasonMissing
    made = Hold(
        subscriber_id=person.id, reason_code=reason, text=text.strip()[:1000], created_at=now, actor=actor
    )
    db.session.add(made)
    audit.record("hold set", actor=actor, now=now, object=f"subscriber:{person.id}", reason=reason)
    return made


def end_hold(number: int, *, now: datetime, actor: str) -> None:
    """End a hold; raise UnknownHold."""
    found = db.session.get(Hold, number, with_for_update=True)
    if found is None:
        raise UnknownHold
    if found.ended_at is None:
        found.ended_at = now
        audit.record("hold ended", actor=actor, now=now, object=f"subscriber:{found.subscriber_id}")


def active_holds() -> Sequence[Hold]:
    """Return the holds in force."""
    return db.session.scalars(sa.select(Hold).where(Hold.ended_at.is_(None)).order_by(Hold.id)).all()
