"""The books of one campaign in this process: what was answered, and what may be handed over next.

A commit for each mail would cost more than the mail. So the connections write together: one
transaction records the answers of all who wait and marks the delivery that each may hand over next.
So a connection never has more than one delivery marked, and whatever dies leaves at most one in
doubt for each.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

from newsletter.clock import utcnow
from newsletter.db import db, surviving_kills
from newsletter.sending.worker.leasing import Claimed, Leased, is_running, lease_some, unmark
from newsletter.sending.worker.outcomes import Answered
from newsletter.sending.worker.record import settle
from newsletter.sending.worker.throttle import Waiting

log = logging.getLogger(__name__)

#: A campaign's rows are walked from the start again after so long, for those that were deferred.
_WALK_SECONDS = 60.0
#: So many may wait for their domain; then we wait too.
_MOST_WAITING = 1000
_LONGEST_PAUSE = 10.0
_TRIES_FOR_NOTHING = 3
#: What the database says when it is the trouble, and not what we ask of it.
_AWAY = (OperationalError, InterfaceError, InternalError)


@dataclass(slots=True, eq=False)
class Turn:
    """What one connection brings to the ledger, and takes from it; used over and over."""

    #: Handed over since the last time, and what was answered.
    answered: Answered | None = None
    #: Whose turn it is: announced to the server already, where it allows that.
    candidate: Leased | None = None
    wants_more: bool = True

    #: May be handed over now.
    claimed: Claimed | None = None
    #: Will most likely be next.
    ahead: Leased | None = None
    #: How many seconds to wait, as everybody left is at a domain that has had its share for now.
    wait: float = 0.0
    is_over: bool = False


class Ledger:
    """Shared by the connections of one pass over a campaign, all in one thread."""

    def __init__(
        self, campaign_id: int, waiting: Waiting, *, connections: int, announces: bool, doubtful: set[int]
    ) -> None:
        self._campaign_id, self._waiting = campaign_id, waiting
        #: Marks of which it is not known whether the database has them; nothing was handed over on them.
        self._doubtful = doubtful
        self._low, self._announces = 2 * connections, announces
        self._after = 0
        self._walked_at = time.perf_counter()
        self._has_deferred = self._is_exhausted = self._is_stopped = False

    def settle(self, turns: Sequence[Turn]) -> None:
        """Record what connections were answered, and claim the next delivery of each. Commits.

        Comes back when that is in the database, however long it takes: until then a connection must
        not send, and an answer is known to nobody else. Raises what the database says when no answer
        is at stake.
        """
        answers = [turn.answered for turn in turns if turn.answered is not None]
        for turn in turns:
            self._learn(turn)
        failures = 0
        while True:
            try:
                self._lease(turns)
                with surviving_kills():
                    self._write(turns, answers)
                break
            except _AWAY:
                # The database is away, full or busy. What was answered is kept here until it is back.
                failures += 1
                _roll_back()
                self._after, self._is_exhausted = 0, False  # what was leased may not be ours after all
                self._doubtful.update(turn.candidate.subscriber_id for turn in turns if turn.candidate)
                if not answers and failures == _TRIES_FOR_NOTHING:
                    raise
                log.warning("ledger not written", exc_info=True, extra={"campaign_id": self._campaign_id})
                time.sleep(min(_LONGEST_PAUSE, 0.1 * 2**failures))
        for turn in turns:
            self._look_ahead(turn)

    def _learn(self, turn: Turn) -> None:
        if turn.answered is not None:
            claimed, reply = turn.answered
            refused = reply.is_retryable and reply.code != 0
            self._has_deferred |= reply.is_retryable
            self._waiting.note(Leased(claimed.subscriber_id, claimed.address), refused_for_now=refused)
        if turn.candidate is not None and not turn.wants_more:
            self._waiting.put_back(turn.candidate)
            turn.candidate = None
        turn.claimed = turn.ahead = None

    def _write(self, turns: Sequence[Turn], answers: list[Answered]) -> None:
        for turn in turns:
            turn.wait = 0.0
        if self._doubtful:
            unmark(self._campaign_id, list(self._doubtful))
            db.session.commit()
        wanting = [turn for turn in turns if turn.wants_more and not self._is_stopped]
        if wanting:
            self._pick(wanting)
        candidates = [turn.candidate.subscriber_id for turn in wanting if turn.candidate is not None]
        claimed = settle(self._campaign_id, answers, candidates, utcnow())
        if len(claimed) < len(candidates):
            self._is_stopped |= not is_running(self._campaign_id)
            db.session.rollback()
        self._doubtful.clear()
        for turn in turns:
            turn.answered = None
            turn.is_over = turn.candidate is None and not turn.wait
            if turn.candidate is not None:
                turn.claimed = claimed.get(turn.candidate.subscriber_id)
                if turn.claimed is None:
                    self._waiting.let_go(turn.candidate)
                turn.candidate = None

    def _pick(self, turns: Sequence[Turn]) -> None:
        """Give each turn a candidate."""
        now = time.perf_counter()
        for turn in turns:
            turn.candidate = turn.candidate or self._waiting.take(now)
            turn.wait = self._waiting.wait(now) if turn.candidate is None and len(self._waiting) else 0.0

    def _lease(self, turns: Sequence[Turn]) -> None:
        """Lease more when few are left, or those left are at domains that have had their share. Commits.

        On SQLite this commit reaches the disk and the marks need not: after a power cut whatever was
        leased is in doubt, and nothing else.
        """
        now = time.perf_counter()
        if self._has_deferred and now - self._walked_at > _WALK_SECONDS:
            self._after, self._walked_at, self._has_deferred, self._is_exhausted = 0, now, False, False
        wanting = sum(turn.wants_more and turn.candidate is None for turn in turns)
        while not self._is_exhausted and not self._is_stopped and self._is_short(wanting, now):
            leased = lease_some(self._campaign_id, utcnow(), self._after)
            db.session.commit()
            if leased is None:
                self._is_exhausted, self._after = self._after == 0, 0
            elif leased:
                self._after = leased[-1].subscriber_id
                self._waiting.add(leased)

    def _is_short(self, wanting: int, now: float) -> bool:
        if len(self._waiting) >= _MOST_WAITING:
            return False
        return len(self._waiting) < self._low or not self._waiting.has(wanting, now)

    def _look_ahead(self, turn: Turn) -> None:
        if self._announces and turn.claimed is not None:
            turn.ahead = self._waiting.take(time.perf_counter())


def _roll_back() -> None:
    try:
        db.session.rollback()
    except _AWAY:
        db.session().invalidate()  # the connection broke only now
