"""Look-ups of subscribers."""

import sqlalchemy as sa

from newsletter.db import db
from newsletter.errors import N_, NotFound
from newsletter.subscribers.addresses import parse_address
from newsletter.subscribers.models import Subscriber


class UnknownSubscriber(NotFound):
    """No subscriber has that address or id."""

    message = N_("There is no subscriber with this address.")


def get_subscriber(address: str) -> Subscriber:
    """Return the subscriber with an address; raise AddressInvalid or UnknownSubscriber."""
    key = parse_address(address).key
    found = db.session.scalar(sa.select(Subscriber).where(Subscriber.address_key == key))
    if found is None:
        raise UnknownSubscriber
    return found
