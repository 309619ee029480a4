"""How fast: MAIL_RATE for everything, and a pace of its own for each destination domain."""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from newsletter.sending.worker.leasing import Leased

#: So many refusals for now in a row, and the domain is written to more slowly ...
REFUSALS = 3
#: ... with this gap at first, twice that after each further one, up to the longest.
FIRST_GAP = 0.05
LONGEST_GAP = 1.0


class Pace:
    """Keeps all connections of this process together under a number of messages a second."""

    def __init__(self, rate: int) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._next = 0.0

    @property
    def is_limited(self) -> bool:
        """True when there is something to wait for."""
        return self._gap > 0

    def wait(self, now: float) -> float:
        """Take the next message's turn and return in how many seconds it comes."""
        turn = max(now, self._next)
        self._next = turn + self._gap
        return turn - now


@dataclass(slots=True)
class _Domain:
    """What we know of one destination."""

    next_at: float = 0.0
    under_way: int = 0
    refusals: int = 0

    def gap(self, usual: float) -> float:
        if self.refusals < REFUSALS:
            return usual
        return max(usual, min(LONGEST_GAP, FIRST_GAP * 2.0 ** (self.refusals - REFUSALS)))


class Waiting:
    """The deliveries leased and not yet handed out, picked so that no domain gets more than its share.

    For one thread at a time: the ledger's leader.
    """

    def __init__(self, *, rate: int, at_once: int) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._at_once = at_once
        self._queue: deque[Leased] = deque()
        self._domains: dict[str, _Domain] = defaultdict(_Domain)

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, leased: Iterable[Leased]) -> None:
        """Put more behind the others."""
        self._queue.extend(leased)

    def put_back(self, leased: Leased) -> None:
        """Put back one that was taken and not used, before the others."""
        self.let_go(leased)
        self._queue.appendleft(leased)

    def let_go(self, leased: Leased) -> None:
        """Forget one that was taken and came to nothing."""
        self._domains[leased.domain].under_way -= 1

    def take(self, now: float) -> Leased | None:
        """Return the first whose domain may be written to now."""
        for position, leased in enumerate(self._queue):
            known = self._domains[leased.domain]
            if now < known.next_at or (self._at_once and known.under_way >= self._at_once):
                continue
            known.under_way += 1
            known.next_at = now + known.gap(self._gap)
            del self._queue[position]
            return leased
        return None

    def has(self, number: int, now: float) -> bool:
        """Tell whether so many may be taken now."""
        if not (self._gap or self._at_once):
            return len(self._queue) >= number
        return sum(self._domains[leased.domain].next_at <= now for leased in self._queue) >= number

    def wait(self, now: float) -> float:
        """Return how many seconds to wait until one may be taken."""
        soonest = min((self._domains[leased.domain].next_at for leased in self._queue), default=now)
        return min(max(soonest - now, 0.01), LONGEST_GAP)

    def note(self, leased: Leased, *, refused_for_now: bool) -> None:
        """Learn from an answer."""
        known = self._domains[leased.domain]
        known.under_way -= 1
        known.refusals = known.refusals + 1 if refused_for_now else 0
