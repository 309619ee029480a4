"""Lifting what bars an address, as only staff may (RP-5): at the person's wish, and written down."""

from datetime import datetime

import sqlalchemy as sa

from newsletter.db import change, db
from newsletter.errors import N_, NotFound
from newsletter.ledger import audit
from newsletter.privacy.models import Ban
from newsletter.privacy.requests.register import ReasonMissing
from newsletter.subscribers.addresses import hash_address, parse_address
from newsletter.subscribers.models import Subscriber
from newsletter.subscribers.suppressions import lift


class NotBarred(NotFound):
    """There is nothing to lift."""

    message = N_("This address is not blocked.")


def lift_bars(text: str, why: str, *, now: datetime, actor: str) -> None:
    """End every block of an address and every objection of its owner's.

    Nobody is subscribed by it. Raises AddressInvalid, ReasonMissing or NotBarred.
    """
    key = parse_address(text).key
    if not why.strip():
        raise ReasonMissing
    bans = change(sa.delete(Ban).where(Ban.address_hash == hash_address(key)))
    if not lift(key, now=now) and not bans:
        raise NotBarred
    person = db.session.scalar(sa.select(Subscriber.id).where(Subscriber.address_key == key))
    known = None if person is None else f"subscriber:{person}"
    audit.record("block lifted", actor=actor, now=now, object=known, about={"why": why.strip()[:1000]})
