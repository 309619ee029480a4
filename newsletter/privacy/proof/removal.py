"""Removal of the proof of consent of an erased person, the last data kept of them (RD-4).

The controller can then no longer demonstrate consent (GDPR art. 7(1)), so a reason is required and audited.
"""

from datetime import datetime

import sqlalchemy as sa

from newsletter.db import db, execute_dml
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.privacy.proof.consent import NoConsentHeld
from newsletter.privacy.requests.register import ReasonMissing
from newsletter.subscribers.addresses import hash_address, parse_address
from newsletter.subscribers.models import Consent, Subscriber


class SubscriberNotErased(NewsletterError):
    """The person has not been erased: the proof is erased with the person, not before."""

    message = N_("This person has not been erased. Erase the person first.")


def remove_proof(text: str, why: str, *, now: datetime, actor: str) -> int:
    """Unlink an address from its past consents; return the number of facts. The caller commits.

    Raises AddressInvalid, ReasonMissing, SubscriberNotErased or NoConsentHeld. Suppressions stay.
    """
    address = parse_address(text)
    if not why.strip():
        raise ReasonMissing
    if db.session.scalar(sa.select(Subscriber.id).where(Subscriber.address_key == address.key)) is not None:
        raise SubscriberNotErased
    of_address = Consent.address_hash == hash_address(address.key)
    # What is left has no time of its own, and goes with the facts that nobody confirmed.
    removed = execute_dml(sa.update(Consent).where(of_address).values(address_hash=None, keep_until=None))
    if not removed:
        raise NoConsentHeld
    audit.record("proof removed", actor=actor, now=now, about={"why": why.strip()[:1000]}, facts=removed)
    return removed
