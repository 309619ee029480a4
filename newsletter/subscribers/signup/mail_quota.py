"""Rate limits on confirmation mails, by address and list, and by domain.

The counts are kept apart from the signups, which are deleted when they are cancelled, expire or are
erased: cancelling a request must not make room for the next one. Keys are keyed hashes; the counts are
deleted when their window ends.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from newsletter.config import current_settings
from newsletter.ratelimit import limiter
from newsletter.subscribers.addresses import Address, hash_address

#: The longest delay of a mail for the limit of its domain; its link is valid for days.
MAX_DELAY = timedelta(hours=24)


def consume(address: Address, list_ids: Sequence[int]) -> list[int]:
    """Count a confirmation mail against SIGNUP_LIMIT_ADDRESS; return the lists it may ask about now.

    Of several concurrent requests for one address, one gets the list.
    """
    who = hash_address(address.key)
    rule = current_settings().signup_limit_address
    return [list_id for list_id in list_ids if limiter.hit(rule, "address", who, str(list_id))]


def reserve_slot(address: Address, now: datetime) -> datetime | None:
    """Reserve a slot under SIGNUP_LIMIT_DOMAIN; return the instant at which the mail may be sent.

    None when the domain has no free slot within MAX_DELAY.
    """
    domain = hash_address(address.key.rpartition("@")[2])
    since = now.timestamp()
    until = since + MAX_DELAY.total_seconds()
    turn = limiter.reserve_slot(
        current_settings().signup_limit_domain, "domain", domain, since=since, until=until
    )
    return None if turn is None else datetime.fromtimestamp(turn, UTC)


def release(address_hash: str, list_ids: Collection[int]) -> None:
    """Clear the count of an address for these lists: it was confirmed, or no mail was sent."""
    for list_id in list_ids:
        limiter.clear_counts(current_settings().signup_limit_address, "address", address_hash, str(list_id))
