"""The batcher of one campaign: records the outcomes of many connections and claims their next deliveries.

A commit for each mail would cost more than the mail. So one transaction records the outcomes of all
connections that wait and claims the next delivery of each. A connection never has more than one claimed
delivery, so a crash leaves at most one uncertain for each.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

from newsletter.clock import utcnow
from newsletter.db import commits_without_fsync, db
from newsletter.sending.worker.leasing import (
    ClaimedDelivery,
    LeasedDelivery,
    is_sending,
    lease_batch,
    reset_claim,
)
from newsletter.sending.worker.outcomes import Outcome
from newsletter.sending.worker.record import record_and_claim
from newsletter.sending.worker.throttle import DomainQueue

log = logging.getLogger(__name__)

#: The deliveries are scanned from the start again after so many seconds, for deferred ones.
_RESCAN_SECONDS = 60.0
#: At most so many leased deliveries wait for their domain; then nothing more is leased.
_MAX_QUEUED = 1000
_MAX_RETRY_SECONDS = 10.0
_MAX_IDLE_RETRIES = 3
#: Errors of the database itself (away, full, busy), not of our statements.
_DATABASE_ERRORS = (OperationalError, InterfaceError, InternalError)


@dataclass(slots=True, eq=False)
class Submission:
    """What one connection submits to the batcher, and gets back; reused for each exchange."""

    #: The delivery sent since the last exchange, and its reply.
    outcome: Outcome | None = None
    #: The delivery to claim next: its envelope may have been sent already.
    candidate: LeasedDelivery | None = None
    wants_more: bool = True

    #: May be sent now.
    claimed: ClaimedDelivery | None = None
    #: Will most likely be next: its envelope may be sent ahead.
    announced: LeasedDelivery | None = None
    #: Seconds to wait, as all leased deliveries are at domains whose rate is used up.
    delay: float = 0.0
    is_done: bool = False


class DeliveryBatcher:
    """Batches the writes of all connections of one pass over a campaign, in one thread."""

    def __init__(
        self, campaign_id: int, queue: DomainQueue, *, connections: int, announces: bool, doubtful: set[int]
    ) -> None:
        self._campaign_id, self._queue = campaign_id, queue
        #: Claims of which it is not known whether they were committed; nothing was sent on them.
        self._doubtful = doubtful
        self._low_water_mark, self._announces = 2 * connections, announces
        self._after = 0
        self._scanned_at = time.perf_counter()
        self._has_deferred = self._is_exhausted = self._is_stopped = False

    def submit(self, submissions: Sequence[Submission]) -> None:
        """Record the outcomes of connections, and claim the next delivery of each. Commits.

        Retries until that is committed, however long it takes: until then a connection must not send,
        and an outcome exists nowhere else. Raises the database's error when there is no outcome to lose.
        """
        outcomes = [submission.outcome for submission in submissions if submission.outcome is not None]
        for submission in submissions:
            self._note_outcome(submission)
        failures = 0
        while True:
            try:
                self._lease_more(submissions)
                with commits_without_fsync():
                    self._write_batch(submissions, outcomes)
                break
            except _DATABASE_ERRORS:
                # The database is away, full or busy. The outcomes are kept in memory until it is back.
                failures += 1
                _roll_back()
                self._after, self._is_exhausted = 0, False  # the leases may have been lost
                self._doubtful.update(
                    submission.candidate.subscriber_id for submission in submissions if submission.candidate
                )
                if not outcomes and failures == _MAX_IDLE_RETRIES:
                    raise
                log.warning("ledger not written", exc_info=True, extra={"campaign_id": self._campaign_id})
                time.sleep(min(_MAX_RETRY_SECONDS, 0.1 * 2**failures))
        for submission in submissions:
            self._announce_next(submission)

    def _note_outcome(self, submission: Submission) -> None:
        if submission.outcome is not None:
            claimed, reply = submission.outcome
            refused = reply.is_retryable and reply.code != 0
            self._has_deferred |= reply.is_retryable
            self._queue.record_reply(
                LeasedDelivery(claimed.subscriber_id, claimed.address), refused_for_now=refused
            )
        if submission.candidate is not None and not submission.wants_more:
            self._queue.put_back(submission.candidate)
            submission.candidate = None
        submission.claimed = submission.announced = None

    def _write_batch(self, submissions: Sequence[Submission], outcomes: list[Outcome]) -> None:
        for submission in submissions:
            submission.delay = 0.0
        if self._doubtful:
            reset_claim(self._campaign_id, list(self._doubtful))
            db.session.commit()
        wanting = [submission for submission in submissions if submission.wants_more and not self._is_stopped]
        if wanting:
            self._assign_candidates(wanting)
        candidates = [
            submission.candidate.subscriber_id for submission in wanting if submission.candidate is not None
        ]
        claimed = record_and_claim(self._campaign_id, outcomes, candidates, utcnow())
        if len(claimed) < len(candidates):
            self._is_stopped |= not is_sending(self._campaign_id)
            db.session.rollback()
        self._doubtful.clear()
        for submission in submissions:
            submission.outcome = None
            submission.is_done = submission.candidate is None and not submission.delay
            if submission.candidate is not None:
                submission.claimed = claimed.get(submission.candidate.subscriber_id)
                if submission.claimed is None:
                    self._queue.discard(submission.candidate)
                submission.candidate = None

    def _assign_candidates(self, submissions: Sequence[Submission]) -> None:
        """Give each submission a candidate."""
        now = time.perf_counter()
        for submission in submissions:
            submission.candidate = submission.candidate or self._queue.pop_ready(now)
            submission.delay = (
                self._queue.delay(now) if submission.candidate is None and len(self._queue) else 0.0
            )

    def _lease_more(self, submissions: Sequence[Submission]) -> None:
        """Lease more when few are left, or those left are at domains whose rate is used up. Commits.

        On SQLite this commit is fsynced and that of a claim is not: after a power cut all leased deliveries
        are uncertain, and no others.
        """
        now = time.perf_counter()
        if self._has_deferred and now - self._scanned_at > _RESCAN_SECONDS:
            self._after, self._scanned_at, self._has_deferred, self._is_exhausted = 0, now, False, False
        wanting = sum(submission.wants_more and submission.candidate is None for submission in submissions)
        while not self._is_exhausted and not self._is_stopped and self._needs_more(wanting, now):
            leased = lease_batch(self._campaign_id, utcnow(), self._after)
            db.session.commit()
            if leased is None:
                self._is_exhausted, self._after = self._after == 0, 0
            elif leased:
                self._after = leased[-1].subscriber_id
                self._queue.add(leased)

    def _needs_more(self, wanting: int, now: float) -> bool:
        if len(self._queue) >= _MAX_QUEUED:
            return False
        return len(self._queue) < self._low_water_mark or not self._queue.has_ready(wanting, now)

    def _announce_next(self, submission: Submission) -> None:
        if self._announces and submission.claimed is not None:
            submission.announced = self._queue.pop_ready(time.perf_counter())


def _roll_back() -> None:
    try:
        db.session.rollback()
    except _DATABASE_ERRORS:
        db.session().invalidate()  # the connection broke only now
