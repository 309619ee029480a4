"""Lifting the suppression and the objections of an address. Only staff may (RP-5); the reason is audited."""

from datetime import datetime

import sqlalchemy as sa

from newsletter.db import db, execute_dml
from newsletter.errors import N_, NotFound
from newsletter.ledger import audit
from newsletter.privacy.models import Objection
from newsletter.privacy.requests.register import ReasonMissing
from newsletter.subscribers.addresses import hash_address, parse_address
from newsletter.subscribers.models import Subscriber
from newsletter.subscribers.suppressions import lift_any


class NotSuppressed(NotFound):
    """The address has neither a suppression nor an objection."""

    message = N_("This address is not blocked.")


def lift_all(text: str, why: str, *, now: datetime, actor: str) -> None:
    """Delete every suppression of an address and every objection of its owner. The caller commits.

    It subscribes nobody. Raises AddressInvalid, ReasonMissing or NotSuppressed.
    """
    key = parse_address(text).key
    if not why.strip():
        raise ReasonMissing
    bans = execute_dml(sa.delete(Objection).where(Objection.address_hash == hash_address(key)))
    if not lift_any(key, now=now) and not bans:
        raise NotSuppressed
    person = db.session.scalar(sa.select(Subscriber.id).where(Subscriber.address_key == key))
    known = None if person is None else f"subscriber:{person}"
    audit.record("block lifted", actor=actor, now=now, object=known, about={"why": why.strip()[:1000]})
