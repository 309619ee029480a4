"""How many confirmation mails an address and its domain may get.

Counted apart from the signups, which vanish when they are cancelled, expire or are erased: taking a
request back must not make room for the next one. What is counted is named by keyed hashes only, and
gone when its window ends.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from newsletter.config import current_settings
from newsletter.ratelimit import limiter
from newsletter.subscribers.addresses import Address, hash_address

#: A mail may wait so long for its turn at a domain; its link works for days.
LONGEST_WAIT = timedelta(hours=24)


def take(address: Address, list_ids: Sequence[int]) -> list[int]:
    """Return those of the lists that one mail may ask about now, and count that mail.

    Of several requests at once for one address, one gets the list.
    """
    who = hash_address(address.key)
    rule = current_settings().signup_limit_address
    return [list_id for list_id in list_ids if limiter.hit(rule, "address", who, str(list_id))]


def take_turn(address: Address, now: datetime) -> datetime | None:
    """Return when a mail may go to the address's domain: now, or when those before it have gone.

    None when the domain has no room within LONGEST_WAIT.
    """
    domain = hash_address(address.key.rpartition("@")[2])
    since = now.timestamp()
    until = since + LONGEST_WAIT.total_seconds()
    turn = limiter.reserve_slot(
        current_settings().signup_limit_domain, "domain", domain, since=since, until=until
    )
    return None if turn is None else datetime.fromtimestamp(turn, UTC)


def give_back(address_hash: str, list_ids: Collection[int]) -> None:
    """Let an address be asked about lists anew: its person confirmed, or no mail went after all."""
    for list_id in list_ids:
        limiter.clear_counts(current_settings().signup_limit_address, "address", address_hash, str(list_id))
