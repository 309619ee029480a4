"""Personal data breaches: whom they affect, the 72-hour deadline, and the record (GDPR art. 33 and 34)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.db import db
from newsletter.durable import restore_journal
from newsletter.errors import N_, NewsletterError, NotFound
from newsletter.ledger import audit
from newsletter.privacy.deadlines import BREACH_REPORT_PERIOD
from newsletter.privacy.models import Incident
from newsletter.subscribers.models import Subscriber

STEPS = ("reported", "told", "closed")


class InvalidPeriod(NewsletterError):
    """The end lies before the beginning."""

    message = N_("Enter a beginning and an end, the end not before the beginning.")


class DescriptionMissing(NewsletterError):
    """A breach needs a description."""

    message = N_("Describe what happened.")


class UnknownIncident(NotFound):
    """There is no incident of that number."""


@dataclass(frozen=True, slots=True)
class AffectedPeople:
    """The people whose data was held at any time between two instants."""

    #: Those not erased, as (id, address).
    people: Sequence[tuple[int, str]]
    #: Those erased since, as far back as the restore journal goes.
    erased_count: int

    @property
    def count(self) -> int:
        """How many in all."""
        return len(self.people) + self.erased_count


def find_affected(began_at: datetime, ended_at: datetime) -> AffectedPeople:
    """Return whose data was held between two instants; raise InvalidPeriod."""
    if ended_at < began_at:
        raise InvalidPeriod
    rows = db.session.execute(
        sa.select(Subscriber.id, Subscriber.address)
        .where(Subscriber.created_at <= ended_at)
        .order_by(Subscriber.id)
    )
    gone = [line for line in restore_journal.erasures() if line.at >= began_at]
    erased = {line.id for line in gone if line.since is not None and line.since <= ended_at}
    return AffectedPeople([(row.id, row.address) for row in rows], len(erased))


def record_incident(
    description: str,
    *,
    began_at: datetime,
    ended_at: datetime,
    noticed_at: datetime,
    now: datetime,
    actor: str,
    effects: str = "",
    measures: str = "",
) -> Incident:
    """Enter a breach; raise DescriptionMissing or InvalidPeriod."""
    if not description.strip():
        raise DescriptionMissing
    made = Incident(
        description=description.strip()[:4000],
        effects=effects.strip()[:4000],
        measures=measures.strip()[:4000],
        began_at=began_at,
        ended_at=ended_at,
        noticed_at=noticed_at,
        affected_count=find_affected(began_at, ended_at).count,
        actor=actor,
    )
    db.session.add(made)
    db.session.flush()
    audit.record("incident recorded", actor=actor, now=now, object=f"incident:{made.id}")
    return made


def update_incident(number: int, *, effects: str, measures: str, now: datetime, actor: str) -> Incident:
    """Update effects and measures of an open breach; raise UnknownIncident."""
    found = db.session.get(Incident, number, with_for_update=True)
    if found is None or found.closed_at is not None:
        raise UnknownIncident
    found.effects, found.measures = effects.strip()[:4000], measures.strip()[:4000]
    audit.record("incident changed", actor=actor, now=now, object=f"incident:{number}")
    return found


def record_step(number: int, step: str, *, now: datetime, actor: str) -> Incident:
    """Record a step: authority notified ("reported"), people notified ("told"), or "closed"."""
    found = db.session.get(Incident, number, with_for_update=True)
    if found is None or step not in STEPS:
        raise UnknownIncident
    column = f"{step}_at"
    setattr(found, column, getattr(found, column) or now)
    audit.record(f"incident {step}", actor=actor, now=now, object=f"incident:{number}")
    return found


def list_incidents() -> Sequence[Incident]:
    """Return every incident, newest first."""
    return db.session.scalars(sa.select(Incident).order_by(Incident.id.desc())).all()


def hours_left(incident: Incident, now: datetime) -> int:
    """Return how many whole hours are left to report a breach; negative once they are over."""
    return int((report_due_at(incident) - now) // timedelta(hours=1))


def report_due_at(incident: Incident) -> datetime:
    """Return by when the authority must be notified."""
    return incident.noticed_at + BREACH_REPORT_PERIOD
