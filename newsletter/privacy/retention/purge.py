"""The January purge: deletes everyone who left, and the raw opens and clicks of past years.

It takes those who left before it started. The selection is stored first, so that a killed run continues with
the same people. Each transaction is short; it commits as it goes. Totals stay, as plain numbers.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

import sqlalchemy as sa

from newsletter.bounces.personal_data import erase_unmatched
from newsletter.campaigns.models import CampaignTotals, Edition
from newsletter.db import (
    commits_without_fsync,
    db,
    execute_dml,
    insert_or_ignore,
    is_sqlite,
    read_transactions,
)
from newsletter.db.batching import BatchSizer, IdRange
from newsletter.db.id_bitmap import in_people
from newsletter.db.leases import try_job_lock
from newsletter.errors import N_, NewsletterError, NotFound
from newsletter.ledger import audit, hash_chain
from newsletter.privacy import everyone
from newsletter.privacy.deadlines import is_january, is_purge_due, local_day, start_of_year
from newsletter.privacy.models import JobSlot, PurgeCandidate, PurgeRun, RightsRequest
from newsletter.privacy.retention.erasure import scrub
from newsletter.privacy.retention.purge_selection import (
    count_left_out,
    expired_proof_conditions,
    past_campaigns,
    purge_condition,
)
from newsletter.sending import personal_data as sending_data
from newsletter.stats.rollups.ingest import close_uniques, load_local_logs
from newsletter.subscribers.consent.evidence import CONSENT_CHAIN
from newsletter.subscribers.models import Consent, Subscriber
from newsletter.tracking import personal_data as tracking_data

log = logging.getLogger(__name__)

#: People written to the restore journal at a time.
JOURNAL_BATCH = 5000
#: Callback: stage, done, total.
Progress = Callable[[str, int, int], None]
STAGES = ("gather", "events", "readers", "deliveries", "people", "proofs", "scrub")
#: The kinds of rows a report counts.
REPORTED_KINDS = ("people", "subscriptions", "deliveries", "events", "link_readers", "proofs", "requests")


class NotJanuary(NewsletterError):
    """The purge runs in January only."""

    message = N_("The purge runs in January. Say --any-day to run it today.")


class PurgeAlreadyRunning(NewsletterError):
    """Another process is running the purge."""

    message = N_("The purge is under way. Wait until it has ended.")


def run_purge(
    *, now: datetime, actor: str, any_day: bool = False, progress: Progress | None = None
) -> dict[str, int]:
    """Run the purge and return how many rows went, by kind. Commits as it goes.

    Raises NotJanuary outside January in the business time zone, unless ``any_day``, and
    PurgeAlreadyRunning. A run that was killed is finished first.
    """
    if not is_january(now) and not any_day:
        raise NotJanuary
    with try_job_lock("purge") as acquired:
        if not acquired:
            raise PurgeAlreadyRunning
        run = _find_unfinished_run()
        if run is None:
            run = _start_run(now, actor)
        else:
            run.started_at, run.is_gathered = now, False
        if is_purge_due(now):
            _claim_year(now)
        db.session.commit()
        return _PurgeJob(run, actor, now, progress).execute()


def purge_if_due(now: datetime) -> None:
    """Run this year's purge if its time has come and nobody has; finish a run that was killed."""
    due = is_purge_due(now)
    if not due and _find_unfinished_run() is None:
        db.session.rollback()
        return
    db.session.rollback()
    with try_job_lock("purge") as acquired:
        if not acquired:
            return
        run = _find_unfinished_run()
        if run is None and due and _claim_year(now):
            run = _start_run(now, "system")
        db.session.commit()
        if run is not None:
            _PurgeJob(run, "system", now, None).execute()


def last_run() -> PurgeRun:
    """Return the run begun last."""
    return db.session.scalars(sa.select(PurgeRun).order_by(PurgeRun.id.desc()).limit(1)).one()


def list_runs() -> Sequence[PurgeRun]:
    """Return every run, newest first."""
    return db.session.scalars(sa.select(PurgeRun).order_by(PurgeRun.id.desc())).all()


def get_run(number: int) -> PurgeRun:
    """Return a run; raise NotFound."""
    found = db.session.get(PurgeRun, number)
    if found is None:
        raise NotFound
    return found


def _claim_year(now: datetime) -> int:
    return insert_or_ignore(JobSlot, {"job": "purge", "slot": str(local_day(now).year), "taken_at": now})


def _start_run(now: datetime, actor: str) -> PurgeRun:
    run = PurgeRun(started_at=now, actor=actor)
    db.session.add(run)
    audit.record("purge started", actor=actor, now=now)
    return run


def _find_unfinished_run() -> PurgeRun | None:
    return db.session.scalar(sa.select(PurgeRun).where(PurgeRun.finished_at.is_(None)).limit(1))


class _PurgeJob:
    """One run under way."""

    def __init__(self, run: PurgeRun, actor: str, now: datetime, progress: Progress | None) -> None:
        self.run, self.actor, self.now = run, actor, now
        self._progress = progress
        self._last_reported = ("", 0)
        self._selected = sa.select(PurgeCandidate.subscriber_id)

    def execute(self) -> dict[str, int]:
        """Run every stage; each may have been done already by a run that was killed."""
        # Hits on their way to the tables belong to their year too, and would come after its purge.
        load_local_logs()
        with commits_without_fsync():  # what a power cut undoes, the next run does again
            if not self.run.is_gathered:
                self._select()
            self._delete_events()
            self._delete_old_readers()
            self._delete_deliveries()
            self._delete_people()
            self._delete_old_proofs()
        self._report_progress("scrub", 0, 1)
        db.session.commit()
        scrub()  # before the run counts as finished: killed here, the next one scrubs again
        return self._finish()

    def _report_progress(self, stage: str, done: int, total: int) -> None:
        # Stored with the next commit of the work itself, and only when the page would show another number.
        share = (stage, done * 100 // (total or 1))
        if share != self._last_reported:
            self._last_reported = share
            self.run.progress = {"stage": stage, "done": done, "total": total}
        if self._progress:
            self._progress(stage, done, total)

    def _add_counts(self, **numbers: int) -> None:
        counts = dict.fromkeys(REPORTED_KINDS, 0) | (self.run.counts or {})
        self.run.counts = {kind: count + numbers.get(kind, 0) for kind, count in counts.items()}
        db.session.commit()

    def _select(self) -> None:
        """Store who is to be deleted."""
        self._report_progress("gather", 0, 1)
        going = purge_condition(self.run.started_at)
        low, last = 0, db.session.scalar(sa.select(sa.func.max(Subscriber.id))) or 0
        # PostgreSQL locks nobody out, and looks at every subscription in each step.
        stride = BatchSizer(5000 if is_sqlite() else 1_000_000, most=1_000_000)
        execute_dml(sa.delete(PurgeCandidate))
        db.session.commit()
        while low < last:
            with stride.batch() as size:
                these = sa.select(Subscriber.id).where(
                    Subscriber.id > low, Subscriber.id <= low + size, going
                )
                db.session.execute(
                    sa.insert(PurgeCandidate).from_select(["subscriber_id"], these),
                    execution_options={"synchronize_session": False},
                )
                db.session.commit()
            low += size
        with read_transactions():  # which takes as long as all the steps together, and writes nothing
            left_out_by_reason = count_left_out(self.run.started_at)
            db.session.rollback()
        self.run.left_out = left_out_by_reason
        self.run.is_gathered = True
        self._add_counts()

    def _delete_events(self) -> None:
        before = start_of_year(self.run.started_at)
        deleted = tracking_data.erase(
            self._selected,
            before=before,
            tell=lambda done, total: self._report_progress("events", done, total),
        )
        self._add_counts(events=deleted)

    def _delete_old_readers(self) -> None:
        """Forget who opened and clicked the campaigns of past years; their totals stay (TR-6)."""
        editions: list[int] = []
        for campaign_id in db.session.scalars(past_campaigns(self.run.started_at)).all():
            totals = db.session.get_one(CampaignTotals, campaign_id)
            is_closed = totals.uniques_closed_at and totals.uniques_closed_at < self.run.started_at
            editions += _editions_of(campaign_id)
            if not is_closed:
                close_uniques(campaign_id, self.run.started_at)
                db.session.commit()
                sending_data.delete_first_actions(campaign_id)
        db.session.rollback()
        deleted = tracking_data.erase_readers(
            self._selected,
            old_editions=set(editions),
            tell=lambda done, total: self._report_progress("readers", done, total),
        )
        self._add_counts(link_readers=deleted)

    def _delete_deliveries(self) -> None:
        deleted = sending_data.erase(
            self._selected, tell=lambda done, total: self._report_progress("deliveries", done, total)
        )
        self._add_counts(deliveries=deleted)

    def _delete_people(self) -> None:
        """Erase the selected people, except those who have come back meanwhile."""
        everyone.clear_dev_mailbox(self._selected)
        erase_unmatched(self.now)
        total = db.session.scalar(sa.select(sa.func.count()).select_from(PurgeCandidate)) or 0
        db.session.rollback()
        done, stride = 0, BatchSizer(500, most=5000)
        while noted := self._journal_next():
            while batch := self._next_batch(stride.size, within=noted):
                with stride.batch() as size:
                    self._add_counts(**self._erase_batch(batch))
                done += size
                self._report_progress("people", min(done, total), total)

    def _journal_next(self) -> IdRange | None:
        """Write the next people to the restore journal; None when nobody is left."""
        db.session.commit()
        with read_transactions():  # nobody waits for the disk of the journal
            batch = self._next_batch(JOURNAL_BATCH)
            if batch is not None:
                everyone.journal_erasure(batch, now=self.now)
            db.session.rollback()
        return batch

    def _next_batch(self, size: int, *, within: IdRange | None = None) -> IdRange | None:
        """Return the next ``size`` selected people; None when nobody is left."""
        number = PurgeCandidate.subscriber_id
        left = within.ids() if within else self._selected
        numbers = left.order_by(number).limit(size).subquery()
        first, last = db.session.execute(
            sa.select(sa.func.min(numbers.c.subscriber_id), sa.func.max(numbers.c.subscriber_id))
        ).one()
        return IdRange(self._selected, first, last) if first is not None else None

    def _erase_batch(self, batch: IdRange) -> dict[str, int]:
        these = PurgeCandidate.subscriber_id.between(batch.low, batch.high)
        # Locked first: of a signup at the same moment, either it is seen here or it sees nobody.
        locked = sa.select(Subscriber.id).where(in_people(Subscriber.id, batch)).with_for_update()
        db.session.execute(locked)
        going = sa.select(Subscriber.id).where(
            in_people(Subscriber.id, batch), purge_condition(self.run.started_at)
        )
        execute_dml(sa.delete(PurgeCandidate).where(these, ~PurgeCandidate.subscriber_id.in_(going)))
        counts = everyone.erase_subscribers(batch, now=self.now)
        execute_dml(sa.delete(PurgeCandidate).where(these))
        return counts

    def _delete_old_proofs(self) -> None:
        """Delete proofs of consent and rights requests whose retention is over (RP-4)."""
        proofs = hash_chain.delete_rows(
            Consent, CONSENT_CHAIN, expired_proof_conditions(self.run.started_at)[0]
        )
        requests = execute_dml(
            sa.delete(RightsRequest).where(expired_proof_conditions(self.run.started_at)[1])
        )
        self._report_progress("proofs", 1, 1)
        self._add_counts(proofs=proofs, requests=requests)

    def _finish(self) -> dict[str, int]:
        counts = dict(self.run.counts or {})
        self.run.finished_at = self.now
        passed = {f"left_out_{reason}": number for reason, number in (self.run.left_out or {}).items()}
        audit.record(
            "purge finished",
            actor=self.actor,
            now=self.now,
            object=f"purge:{self.run.id}",
            **counts,
            **passed,
        )
        db.session.commit()
        log.info("purge finished", extra=counts)
        return counts


def _editions_of(campaign_id: int) -> Sequence[int]:
    return db.session.scalars(sa.select(Edition.id).where(Edition.campaign_id == campaign_id)).all()
