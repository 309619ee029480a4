"""Rate limits on confirmation mails, by address and list, and by domain.

The counts are kept apart from the signups, which are deleted when they are cancelled, expire or are
erased: cancelling a request must not make room for the next one. Keys are keyed hashes; the counts are
deleted when their window ends.
"""

import enum
import logging
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

import sqlalchemy as sa

from newsletter.config import current_settings
from newsletter.db import db
from newsletter.ledger import audit
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.models import MailStatus, OutboxMail
from newsletter.ratelimit import limiter
from newsletter.subscribers.addresses import Address, hash_address

#: The longest delay of a mail for the limit of its domain; its link is valid for days.
MAX_DELAY = timedelta(hours=24)
#: It takes so many networks to use up a domain's budget: each has its share of every hour.
NETWORKS_AT_LEAST = 5
#: What the audit log calls a domain's limit that bites; the overview looks for it.
DOMAIN_LIMIT_REACHED = "mail domain limit reached"

log = logging.getLogger(__name__)

#: A rule, and what is counted under it.
_Count = tuple[str, tuple[str, ...]]


class Room(enum.Enum):
    """What a request for a domain has to expect."""

    FREE = enum.auto()
    #: Half of the hour is used, or all of the network's share: it takes a proof of work.
    CROWDED = enum.auto()
    #: Its mail would have to wait longer than MAX_DELAY: nothing is taken in, and the visitor is told.
    FULL = enum.auto()


def consume(address: Address, list_ids: Sequence[int]) -> list[int]:
    """Count a confirmation mail against SIGNUP_LIMIT_ADDRESS; return the lists it may ask about now.

    Of several concurrent requests for one address, one gets the list.
    """
    who = hash_address(address.key)
    rule = current_settings().signup_limit_address
    return [list_id for list_id in list_ids if limiter.hit(rule, "address", who, str(list_id))]


def room_at_domain(address: Address, ip: str) -> Room:
    """Tell what one more request from a network for an address's domain has to expect; counts nothing.

    All requests count, whatever their addresses are to us: what this says tells nothing about one.
    """
    if not all(limiter.has_room(rule, *key) for rule, key in _counts_of_day(address, ip)):
        return Room.FULL
    is_calm = all(limiter.has_room(rule, *key) for rule, key in _counts_of_window(address, ip))
    return Room.FREE if is_calm else Room.CROWDED


def count_request(address: Address, ip: str) -> None:
    """Count a request that was let in for its address's domain."""
    for rule, key in (*_counts_of_day(address, ip), *_counts_of_window(address, ip)):
        for item in limiter.parse_rule(rule):
            limiter.increment(item, *key)


def seconds_until_calm(address: Address, ip: str) -> int:
    """Return for how many seconds a request for an address's domain will need a proof of work; at least 1."""
    return max(limiter.retry_after(rule, *key) for rule, key in _counts_of_window(address, ip))


def reserve_slot(address: Address, now: datetime, *, ip: str) -> datetime:
    """Return when a confirmation mail may go to the address's domain: now, or when those before it have gone.

    A network has a share of each hour, so that its mails wait behind those of others. There is always a
    turn: where none is free within MAX_DELAY the mail goes then, since its person was told to expect it.
    """
    turn = find_turn(current_settings().signup_limit_domain, "domain", address, now, ip=ip)
    if turn != now:
        note_limit(address, now)
    return turn or now + MAX_DELAY


def find_turn(rule: str, budget: str, address: Address, now: datetime, *, ip: str) -> datetime | None:
    """Reserve a turn in a budget of mails to the address's domain; None without room in MAX_DELAY."""
    domain, since = _domain_hash(address), now.timestamp()
    until = since + MAX_DELAY.total_seconds()
    key = (f"{budget} share", domain, limiter.wide_network_key_of(ip))
    turn = limiter.reserve_slot(share_of(rule), *key, since=since, until=until)
    if turn is not None:
        turn = limiter.reserve_slot(rule, budget, domain, since=turn, until=until)
    return None if turn is None else now if turn == since else datetime.fromtimestamp(turn, UTC)


def note_limit(address: Address, now: datetime) -> None:
    """Record for staff that a domain's limit bites; once a day for each domain, and without its name."""
    if limiter.is_first_use(f"domain limit/{_domain_hash(address)}", 24 * 60 * 60):
        log.warning("mail domain limit reached")
        audit.record(DOMAIN_LIMIT_REACHED, actor="system", now=now)


def has_reached_limit(now: datetime) -> bool:
    """Tell whether a domain's limit has bitten within a day."""
    entry = sa.select(AuditEntry.id).where(
        AuditEntry.at > now - timedelta(days=1), AuditEntry.action == DOMAIN_LIMIT_REACHED
    )
    return db.session.scalar(entry.limit(1)) is not None


def count_waiting(now: datetime) -> int:
    """Return how many mails with a link wait for their turn at a domain."""
    waiting = sa.select(sa.func.count()).where(
        OutboxMail.status == MailStatus.QUEUED,
        OutboxMail.template.in_(("confirm", "rights_link")),
        OutboxMail.attempts == 0,
        OutboxMail.due_at > now,
    )
    return db.session.scalar(waiting) or 0


def share_of(rule: str) -> str:
    """Return the part of a domain's rule that one network may use."""
    return _scale(rule, lambda amount: amount // NETWORKS_AT_LEAST)


def release(address_hash: str, list_ids: Collection[int]) -> None:
    """Clear the count of an address for these lists: it was confirmed, or no mail was sent."""
    for list_id in list_ids:
        limiter.clear_counts(current_settings().signup_limit_address, "address", address_hash, str(list_id))


def _domain_hash(address: Address) -> str:
    return hash_address(address.key.rpartition("@")[2])


def _counts_of_window(address: Address, ip: str) -> tuple[_Count, _Count]:
    """Return what makes a domain crowded: half of its rule from everybody, or one network's share."""
    domain, rule = _domain_hash(address), current_settings().signup_limit_domain
    half = _scale(rule, lambda amount: amount // 2)
    return (
        (half, ("domain asked", domain)),
        (share_of(rule), ("domain asked", domain, limiter.wide_network_key_of(ip))),
    )


def _counts_of_day(address: Address, ip: str) -> tuple[_Count, _Count]:
    """Return what makes a domain full: as many requests as mails can go within MAX_DELAY."""
    domain, rule = _domain_hash(address), current_settings().signup_limit_domain
    return (
        (_over_longest_wait(rule), ("domain day", domain)),
        (_over_longest_wait(share_of(rule)), ("domain day", domain, limiter.wide_network_key_of(ip))),
    )


@cache
def _over_longest_wait(rule: str) -> str:
    """Return how many mails fit into MAX_DELAY under a rule, or into its window where that is longer."""
    longest = int(MAX_DELAY.total_seconds())
    items = limiter.parse_rule(rule)
    return ";".join(
        f"{item.amount * max(1, longest // item.get_expiry())}/{max(longest, item.get_expiry())} second"
        for item in items
    )


def _scale(rule: str, part: Callable[[int], int]) -> str:
    items = limiter.parse_rule(rule)
    return ";".join(f"{max(1, part(item.amount))}/{item.get_expiry()} second" for item in items)
