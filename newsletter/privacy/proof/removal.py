"""Removing the last thing that is kept of somebody erased: the proof of their consents (RD-4).

The controller can then no longer show that it was allowed to write (GDPR art. 7(1)), so it takes a
reason, which is written down.
"""

from datetime import datetime

import sqlalchemy as sa

from newsletter.db import change, db
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.privacy.proof.consent import NothingHeld
from newsletter.privacy.requests.register import ReasonMissing
from newsletter.subscribers.addresses import hash_address, parse_address
from newsletter.subscribers.models import Consent, Subscriber


class StillHere(NewsletterError):
    """Proof of a person who is here goes with the person, not before."""

    message = N_("This person has not been erased. Erase the person first.")


def remove_proof(text: str, why: str, *, now: datetime, actor: str) -> int:
    """Let nothing lead from an address to consents of before; return how many facts that were.

    Raises AddressInvalid, ReasonMissing, StillHere or NothingHeld. A block of the address stays.
    """
    address = parse_address(text)
    if not why.strip():
        raise ReasonMissing
    if db.session.scalar(sa.select(Subscriber.id).where(Subscriber.address_key == address.key)) is not None:
        raise StillHere
    theirs = Consent.address_hash == hash_address(address.key)
    # What is left has no time of its own, and goes with the facts that nobody confirmed.
    removed = change(sa.update(Consent).where(theirs).values(address_hash=None, keep_until=None))
    if not removed:
        raise NothingHeld
    audit.record("proof removed", actor=actor, now=now, about={"why": why.strip()[:1000]}, facts=removed)
    return removed
