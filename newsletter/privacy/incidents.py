"""Breaches: whom they concern, the clock of 72 hours, and the record (GDPR art. 33, 34)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.db import db
from newsletter.durable import restore_journal
from newsletter.errors import N_, NewsletterError, NotFound
from newsletter.ledger import audit
from newsletter.privacy.deadlines import BREACH_HOURS
from newsletter.privacy.models import Incident
from newsletter.subscribers.models import Subscriber

STEPS = ("reported", "told", "closed")


class TimesWrong(NewsletterError):
    """The end lies before the beginning."""

    message = N_("Enter a beginning and an end, the end not before the beginning.")


class DescriptionMissing(NewsletterError):
    """An incident says what happened."""

    message = N_("Describe what happened.")


class UnknownIncident(NotFound):
    """There is no incident of that number."""


@dataclass(frozen=True, slots=True)
class Affected:
    """Whose data was here at any time between two instants."""

    #: Still here, as (number, address).
    people: Sequence[tuple[int, str]]
    #: Erased since; as long as the journal knows of them.
    erased_count: int

    @property
    def count(self) -> int:
        """How many in all."""
        return len(self.people) + self.erased_count


def who_was_affected(began_at: datetime, ended_at: datetime) -> Affected:
    """Return whose data was held between two instants; raise TimesWrong."""
    if ended_at < began_at:
        raise TimesWrong
    rows = db.session.execute(
        sa.select(Subscriber.id, Subscriber.address)
        .where(Subscriber.created_at <= ended_at)
        .order_by(Subscriber.id)
    )
    gone = [line for line in restore_journal.erasures() if line.at >= began_at]
    erased = {line.id for line in gone if line.since is not None and line.since <= ended_at}
    return Affected([(row.id, row.address) for row in rows], len(erased))


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
    """Enter a breach; raise DescriptionMissing or TimesWrong."""
    if not description.strip():
        raise DescriptionMissing
    made = Incident(
        description=description.strip()[:4000],
        effects=effects.strip()[:4000],
        measures=measures.strip()[:4000],
        began_at=began_at,
        ended_at=ended_at,
        noticed_at=noticed_at,
        affected_count=who_was_affected(began_at, ended_at).count,
        actor=actor,
    )
    db.session.add(made)
    db.session.flush()
    audit.record("incident recorded", actor=actor, now=now, object=f"incident:{made.id}")
    return made


def describe(number: int, *, effects: str, measures: str, now: datetime, actor: str) -> Incident:
    """Write down what is known by now of effects and measures, while the incident is open."""
    found = db.session.get(Incident, number, with_for_update=True)
    if found is None or found.closed_at is not None:
        raise UnknownIncident
    found.effects, found.measures = effects.strip()[:4000], measures.strip()[:4000]
    audit.record("incident changed", actor=actor, now=now, object=f"incident:{number}")
    return found


def settle(number: int, step: str, *, now: datetime, actor: str) -> Incident:
    """Note a step: told the authority ("reported"), told the people ("told"), or all done ("closed")."""
    found = db.session.get(Incident, number, with_for_update=True)
    if found is None or step not in STEPS:
        raise UnknownIncident
    column = f"{step}_at"
    setattr(found, column, getattr(found, column) or now)
    audit.record(f"incident {step}", actor=actor, now=now, object=f"incident:{number}")
    return found


def all_incidents() -> Sequence[Incident]:
    """Return every incident, newest first."""
    return db.session.scalars(sa.select(Incident).order_by(Incident.id.desc())).all()


def hours_left(incident: Incident, now: datetime) -> int:
    """Return how many whole hours are left to report it; less than none once they are over."""
    return int((report_by(incident) - now) // timedelta(hours=1))


def report_by(incident: Incident) -> datetime:
    """Return until when the authority must be told."""
    return incident.noticed_at + BREACH_HOURS
