"""Finding subscribers."""

import sqlalchemy as sa

from newsletter.db import db
from newsletter.errors import N_, NotFound
from newsletter.subscribers.addresses import parse_address
from newsletter.subscribers.models import Subscriber


class UnknownSubscriber(NotFound):
    """Nobody has that address."""

    message = N_("There is no subscriber with this address.")


def get_subscriber(address: str) -> Subscriber:
    """Return the person with an address; raise AddressInvalid or UnknownSubscriber."""
    key = parse_address(address).key
    found = db.session.scalar(sa.select(Subscriber).where(Subscriber.address_key == key))
    if found is None:
        raise UnknownSubscriber
    return found
