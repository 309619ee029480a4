"""The January purge: everyone who left, and the raw opens and clicks of past years.

It takes who left before it started. Whose turn it is is written down first, so a killed run goes on
with the same people; each transaction is short. Totals stay, as plain numbers.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

import sqlalchemy as sa

from newsletter.bounces.personal_data import erase_strays
from newsletter.campaigns.models import CampaignTotals, Edition
from newsletter.db import change, db, insert_or_ignore, is_sqlite, reading, surviving_kills
from newsletter.db.batching import Span, Stride
from newsletter.db.id_bitmap import theirs
from newsletter.db.leases import alone
from newsletter.errors import N_, NewsletterError, NotFound
from newsletter.ledger import audit, hash_chain
from newsletter.privacy import everyone
from newsletter.privacy.deadlines import is_due_time, is_january, local_day, start_of_year
from newsletter.privacy.models import JobSlot, PurgePerson, PurgeRun, RightsRequest
from newsletter.privacy.retention.erasure import scrub
from newsletter.privacy.retention.purge_selection import left_out, old_campaigns, over_proofs, who_left
from newsletter.sending import personal_data as sending_data
from newsletter.stats.rollups.ingest import close_uniques, load_spool
from newsletter.subscribers.consent.evidence import CHAIN
from newsletter.subscribers.models import Consent, Subscriber
from newsletter.tracking import personal_data as tracking_data

log = logging.getLogger(__name__)

#: People noted in the journal of erasures at a time.
NOTED = 5000
#: Hears the stage, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]
STAGES = ("gather", "events", "readers", "deliveries", "people", "proofs", "scrub")
#: The kinds of rows a report counts.
KINDS = ("people", "subscriptions", "deliveries", "events", "link_readers", "proofs", "requests")


class NotJanuary(NewsletterError):
    """The purge has its month."""

    message = N_("The purge runs in January. Say --any-day to run it today.")


class PurgeUnderWay(NewsletterError):
    """Somebody else is at it."""

    message = N_("The purge is under way. Wait until it has ended.")


def purge(
    *, now: datetime, actor: str, any_day: bool = False, progress: Progress | None = None
) -> dict[str, int]:
    """Run the purge and return how many rows went, by kind. Commits as it goes.

    Raises NotJanuary outside January in the business time zone, unless ``any_day``, and
    PurgeUnderWay. What an earlier run was killed at is finished with it.
    """
    if not is_january(now) and not any_day:
        raise NotJanuary
    with alone("purge") as mine:
        if not mine:
            raise PurgeUnderWay
        run = _unfinished()
        if run is None:
            run = _begin(now, actor)
        else:
            run.started_at, run.is_gathered = now, False
        if is_due_time(now):
            _take_year(now)
        db.session.commit()
        return _Purge(run, actor, now, progress).carry_out()


def purge_if_due(now: datetime) -> None:
    """Run this year's purge if its time has come and nobody has; finish a run that was killed."""
    due = is_due_time(now)
    if not due and _unfinished() is None:
        db.session.rollback()
        return
    db.session.rollback()
    with alone("purge") as mine:
        if not mine:
            return
        run = _unfinished()
        if run is None and due and _take_year(now):
            run = _begin(now, "system")
        db.session.commit()
        if run is not None:
            _Purge(run, "system", now, None).carry_out()


def last_run() -> PurgeRun:
    """Return the run begun last."""
    return db.session.scalars(sa.select(PurgeRun).order_by(PurgeRun.id.desc()).limit(1)).one()


def list_runs() -> Sequence[PurgeRun]:
    """Return every run, newest first."""
    return db.session.scalars(sa.select(PurgeRun).order_by(PurgeRun.id.desc())).all()


def find_run(number: int) -> PurgeRun:
    """Return a run; raise NotFound."""
    found = db.session.get(PurgeRun, number)
    if found is None:
        raise NotFound
    return found


def _take_year(now: datetime) -> int:
    return insert_or_ignore(JobSlot, {"job": "purge", "slot": str(local_day(now).year), "taken_at": now})


def _begin(now: datetime, actor: str) -> PurgeRun:
    run = PurgeRun(started_at=now, actor=actor)
    db.session.add(run)
    audit.record("purge started", actor=actor, now=now)
    return run


def _unfinished() -> PurgeRun | None:
    return db.session.scalar(sa.select(PurgeRun).where(PurgeRun.finished_at.is_(None)).limit(1))


class _Purge:
    """One run under way."""

    def __init__(self, run: PurgeRun, actor: str, now: datetime, progress: Progress | None) -> None:
        self.run, self.actor, self.now = run, actor, now
        self._progress = progress
        self._told = ("", 0)
        self._gone = sa.select(PurgePerson.subscriber_id)

    def carry_out(self) -> dict[str, int]:
        """Take every stage; each may have been done before by a run that was killed."""
        # Hits on their way to the tables belong to their year too, and would come after its purge.
        load_spool()
        with surviving_kills():  # what a power cut undoes, the next run does again
            if not self.run.is_gathered:
                self._gather()
            self._delete_events()
            self._forget_old_readers()
            self._delete_deliveries()
            self._delete_people()
            self._delete_old_proofs()
        self._tell("scrub", 0, 1)
        db.session.commit()
        scrub()  # before the run counts as finished: killed here, the next one scrubs again
        return self._finish()

    def _tell(self, stage: str, done: int, total: int) -> None:
        # Stored with the next commit of the work itself, and only when the page would show another number.
        share = (stage, done * 100 // (total or 1))
        if share != self._told:
            self._told = share
            self.run.progress = {"stage": stage, "done": done, "total": total}
        if self._progress:
            self._progress(stage, done, total)

    def _add(self, **numbers: int) -> None:
        counts = dict.fromkeys(KINDS, 0) | (self.run.counts or {})
        self.run.counts = {kind: count + numbers.get(kind, 0) for kind, count in counts.items()}
        db.session.commit()

    def _gather(self) -> None:
        """Write down whose turn it is."""
        self._tell("gather", 0, 1)
        going = who_left(self.run.started_at)
        low, last = 0, db.session.scalar(sa.select(sa.func.max(Subscriber.id))) or 0
        # PostgreSQL locks nobody out, and looks at every subscription in each step.
        stride = Stride(5000 if is_sqlite() else 1_000_000, most=1_000_000)
        change(sa.delete(PurgePerson))
        db.session.commit()
        while low < last:
            with stride.step() as size:
                these = sa.select(Subscriber.id).where(
                    Subscriber.id > low, Subscriber.id <= low + size, going
                )
                db.session.execute(
                    sa.insert(PurgePerson).from_select(["subscriber_id"], these),
                    execution_options={"synchronize_session": False},
                )
                db.session.commit()
            low += size
        with reading():  # which takes as long as all the steps together, and writes nothing
            passed_over = left_out(self.run.started_at)
            db.session.rollback()
        self.run.left_out = passed_over
        self.run.is_gathered = True
        self._add()

    def _delete_events(self) -> None:
        before = start_of_year(self.run.started_at)
        deleted = tracking_data.erase(
            self._gone, before=before, tell=lambda done, total: self._tell("events", done, total)
        )
        self._add(events=deleted)

    def _forget_old_readers(self) -> None:
        """Forget who opened and clicked the campaigns of past years; their totals stay (TR-6)."""
        editions: list[int] = []
        for campaign_id in db.session.scalars(old_campaigns(self.run.started_at)).all():
            totals = db.session.get_one(CampaignTotals, campaign_id)
            is_closed = totals.uniques_closed_at and totals.uniques_closed_at < self.run.started_at
            editions += _editions_of(campaign_id)
            if not is_closed:
                close_uniques(campaign_id, self.run.started_at)
                db.session.commit()
                sending_data.forget_readers(campaign_id)
        db.session.rollback()
        deleted = tracking_data.erase_readers(
            self._gone,
            old_editions=set(editions),
            tell=lambda done, total: self._tell("readers", done, total),
        )
        self._add(link_readers=deleted)

    def _delete_deliveries(self) -> None:
        deleted = sending_data.erase(
            self._gone, tell=lambda done, total: self._tell("deliveries", done, total)
        )
        self._add(deliveries=deleted)

    def _delete_people(self) -> None:
        """Erase those whose turn it is and who have not come back meanwhile."""
        everyone.forget_mailbox(self._gone)
        erase_strays(self.now)
        total = db.session.scalar(sa.select(sa.func.count()).select_from(PurgePerson)) or 0
        db.session.rollback()
        done, stride = 0, Stride(500, most=5000)
        while noted := self._note():
            while batch := self._first(stride.size, within=noted):
                with stride.step() as size:
                    self._add(**self._erase(batch))
                done += size
                self._tell("people", min(done, total), total)

    def _note(self) -> Span | None:
        """Note the next thousands of people in the journal of erasures; None when nobody is left."""
        db.session.commit()
        with reading():  # nobody waits for the disk of the journal
            batch = self._first(NOTED)
            if batch is not None:
                everyone.note_erasure(batch, now=self.now)
            db.session.rollback()
        return batch

    def _first(self, size: int, *, within: Span | None = None) -> Span | None:
        """Return the first so many of those whose turn it is; None when nobody is left."""
        number = PurgePerson.subscriber_id
        left = within.numbers() if within else self._gone
        numbers = left.order_by(number).limit(size).subquery()
        first, last = db.session.execute(
            sa.select(sa.func.min(numbers.c.subscriber_id), sa.func.max(numbers.c.subscriber_id))
        ).one()
        return Span(self._gone, first, last) if first is not None else None

    def _erase(self, batch: Span) -> dict[str, int]:
        these = PurgePerson.subscriber_id.between(batch.low, batch.high)
        # Locked first: of a signup at the same moment, either it is seen here or it sees nobody.
        locked = sa.select(Subscriber.id).where(theirs(Subscriber.id, batch)).with_for_update()
        db.session.execute(locked)
        going = sa.select(Subscriber.id).where(theirs(Subscriber.id, batch), who_left(self.run.started_at))
        change(sa.delete(PurgePerson).where(these, ~PurgePerson.subscriber_id.in_(going)))
        counts = everyone.erase_rows(batch, now=self.now)
        change(sa.delete(PurgePerson).where(these))
        return counts

    def _delete_old_proofs(self) -> None:
        """Delete proof and lines of the register whose time is over (RP-4)."""
        proofs = hash_chain.delete_rows(Consent, CHAIN, over_proofs(self.run.started_at)[0])
        requests = change(sa.delete(RightsRequest).where(over_proofs(self.run.started_at)[1]))
        self._tell("proofs", 1, 1)
        self._add(proofs=proofs, requests=requests)

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
