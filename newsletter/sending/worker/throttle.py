"""Throttling: MAIL_RATE over all connections, and a rate and backoff for each destination domain."""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from newsletter.sending.worker.leasing import LeasedDelivery

#: After so many consecutive transient refusals (4yz) a domain is throttled ...
REFUSALS_BEFORE_BACKOFF = 3
#: ... with this gap in seconds, doubled after each further one, up to the longest.
INITIAL_GAP = 0.05
MAX_GAP = 1.0


class SendRate:
    """Limits all connections of this process together to a number of messages a second."""

    def __init__(self, rate: int) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._next = 0.0

    @property
    def is_limited(self) -> bool:
        """True when a rate is set."""
        return self._gap > 0

    def delay(self, now: float) -> float:
        """Reserve the slot of the next message and return in how many seconds it begins."""
        slot = max(now, self._next)
        self._next = slot + self._gap
        return slot - now


@dataclass(slots=True)
class _Domain:
    """The throttling state of one destination domain."""

    next_at: float = 0.0
    in_flight: int = 0
    refusals: int = 0

    def gap(self, usual: float) -> float:
        if self.refusals < REFUSALS_BEFORE_BACKOFF:
            return usual
        return max(usual, min(MAX_GAP, INITIAL_GAP * 2.0 ** (self.refusals - REFUSALS_BEFORE_BACKOFF)))


class DomainQueue:
    """The deliveries leased and not yet handed out, picked so that no domain gets more than its share.

    For one thread at a time: the ledger's leader.
    """

    def __init__(self, *, rate: int, at_once: int) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._at_once = at_once
        self._queue: deque[LeasedDelivery] = deque()
        self._domains: dict[str, _Domain] = defaultdict(_Domain)

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, leased: Iterable[LeasedDelivery]) -> None:
        """Append leased deliveries."""
        self._queue.extend(leased)

    def put_back(self, leased: LeasedDelivery) -> None:
        """Put back one that was popped and not used, at the front."""
        self.discard(leased)
        self._queue.appendleft(leased)

    def discard(self, leased: LeasedDelivery) -> None:
        """Drop one that was popped and is not sent."""
        self._domains[leased.domain].in_flight -= 1

    def pop_ready(self, now: float) -> LeasedDelivery | None:
        """Pop the first delivery whose domain may be sent to now; None without one."""
        for position, leased in enumerate(self._queue):
            domain = self._domains[leased.domain]
            if now < domain.next_at or (self._at_once and domain.in_flight >= self._at_once):
                continue
            domain.in_flight += 1
            domain.next_at = now + domain.gap(self._gap)
            del self._queue[position]
            return leased
        return None

    def has_ready(self, number: int, now: float) -> bool:
        """Tell whether so many may be popped now."""
        if not (self._gap or self._at_once):
            return len(self._queue) >= number
        return sum(self._domains[leased.domain].next_at <= now for leased in self._queue) >= number

    def delay(self, now: float) -> float:
        """Return the seconds until one may be popped."""
        soonest = min((self._domains[leased.domain].next_at for leased in self._queue), default=now)
        return min(max(soonest - now, 0.01), MAX_GAP)

    def record_reply(self, leased: LeasedDelivery, *, refused_for_now: bool) -> None:
        """Update the domain's state with a reply; ``refused_for_now`` is a transient refusal (4yz)."""
        domain = self._domains[leased.domain]
        domain.in_flight -= 1
        domain.refusals = domain.refusals + 1 if refused_for_now else 0
