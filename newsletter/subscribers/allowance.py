"""How many confirmation mails an address and its domain may get.

Counted apart from the signups, which vanish when they are cancelled, expire or are erased: taking a
request back must not make room for the next one. What is counted is named by keyed hashes only, and
gone when its window ends.
"""

from collections.abc import Collection, Sequence

from newsletter import limits
from newsletter.config import settings
from newsletter.subscribers.addresses import Address, hash_address
from newsletter.subscribers.models import MailingList


def take(address: Address, lists: Sequence[MailingList]) -> list[MailingList]:
    """Return those of the lists that one mail may ask about now, and count that mail.

    Of several requests at once for one address, one gets the list.
    """
    domain = hash_address(address.key.rpartition("@")[2])
    if not limits.has_room(settings().signup_limit_domain, "domain", domain):
        return []
    who = hash_address(address.key)
    rule = settings().signup_limit_address
    taken = [item for item in lists if limits.take(rule, "address", who, str(item.id))]
    if taken and not limits.take(settings().signup_limit_domain, "domain", domain):
        return []
    return taken


def give_back(address_hash: str, list_ids: Collection[int]) -> None:
    """Let a person who confirmed be asked anew: nobody else could have confirmed for them."""
    for list_id in list_ids:
        limits.give_back(settings().signup_limit_address, "address", address_hash, str(list_id))
