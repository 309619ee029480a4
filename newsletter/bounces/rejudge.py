"""Judging anew, by the rules of today, what was judged by older ones: ``newsletter bounces rejudge``.

A report that turns out to say that a mailbox is gone ends it now. One that does not any more gives the
address back, unless something else says the same of it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from newsletter.bounces.judging import judge
from newsletter.bounces.models import BOUNCE_KINDS, Bounce, ReportKind
from newsletter.bounces.parser import parse_message
from newsletter.db import db
from newsletter.ledger import audit
from newsletter.mail.replies.models import Said, Stage
from newsletter.mail.replies.rules import VERSION
from newsletter.subscribers.models import Subscriber, SuppressionReason
from newsletter.subscribers.suppressions import find_suppression, lift_after_confirmation, suppress

_BATCH = 200


@dataclass(slots=True)
class Rejudged:
    """What judging anew changes."""

    looked_at: int = 0
    #: How many went from one kind to another.
    changed: Counter[tuple[str, str]] = field(default_factory=Counter)
    suppressed: int = 0
    given_back: int = 0


def rejudge(now: datetime, *, dry_run: bool, everything: bool = False) -> Rejudged:
    """Judge what older rules decided, or everything; commits in batches. A dry run changes nothing."""
    done = Rejudged()
    for batch in _batches(everything=everything):
        for bounce in batch:
            _one(bounce, done, now, dry_run=dry_run)
        if dry_run:
            db.session.rollback()
        else:
            db.session.commit()
    if not dry_run and done.looked_at:
        audit.record(
            "bounces rejudged", actor="system", now=now, object="bounces", count=sum(done.changed.values())
        )
        db.session.commit()
    return done


def _batches(*, everything: bool) -> Iterator[list[Bounce]]:
    last = 0
    is_old = sa.true() if everything else sa.or_(Bounce.rules.is_(None), Bounce.rules < VERSION)
    while True:
        rows = db.session.scalars(
            sa.select(Bounce)
            .where(Bounce.id > last, Bounce.kind.in_(BOUNCE_KINDS), is_old)
            .options(sa.orm.undefer(Bounce.raw))
            .order_by(Bounce.id)
            .limit(_BATCH)
        ).all()
        if not rows:
            return
        last = rows[-1].id
        yield list(rows)


def _one(bounce: Bounce, done: Rejudged, now: datetime, *, dry_run: bool) -> None:
    kind, rule = _judged(bounce)
    done.looked_at += 1
    was, is_other = bounce.kind, kind is not bounce.kind
    if is_other:
        done.changed[was.value, kind.value] += 1
    if not dry_run:
        bounce.kind, bounce.reason, bounce.rules = kind, rule, VERSION
        db.session.flush()
    if is_other and ReportKind.HARD in {was, kind} and bounce.subscriber_id is not None:
        person = db.session.get(Subscriber, bounce.subscriber_id)
        if person is not None:
            _carry_out(bounce, person, kind, done, now, dry_run=dry_run)


def _carry_out(
    bounce: Bounce, person: Subscriber, kind: ReportKind, done: Rejudged, now: datetime, *, dry_run: bool
) -> None:
    found = find_suppression(person.address_key)
    if kind is ReportKind.HARD and found is None:
        done.suppressed += 1
        if not dry_run:
            suppress(person.address_key, SuppressionReason.BOUNCED, now)
    elif kind is not ReportKind.HARD and found is not None and found.reason is SuppressionReason.BOUNCED:
        others = sa.exists().where(
            Bounce.subscriber_id == person.id, Bounce.kind == ReportKind.HARD, Bounce.id != bounce.id
        )
        if not db.session.scalar(sa.select(others)):
            done.given_back += 1
            if not dry_run:
                lift_after_confirmation(person.address_key, now=now)


def _judged(bounce: Bounce) -> tuple[ReportKind, str | None]:
    """Judge what is left of a report: the message, else the facts and the text that were kept of it."""
    if bounce.raw:
        reading = parse_message(bounce.raw.encode("latin-1", "replace"))
        if reading.kind is not ReportKind.UNREADABLE:
            return reading.kind, reading.reason
    kept = bounce.said or {"stage": Stage.REPORT.value, "status": bounce.status}
    said = Said(
        Stage(kept["stage"]),
        bounce.text or "",
        code=kept.get("code"),
        status=kept.get("status"),
        by=kept.get("by", ""),
        word=kept.get("word", ""),
    )
    if not said.text and said.status is None and not said.word and said.code is None:
        return bounce.kind, bounce.reason  # nothing is left to judge by
    return judge(said)
