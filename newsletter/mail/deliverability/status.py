"""How the world sees our mail (SB-8): found by a job now and then, and kept with its time for the pages."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.config import Settings, settings
from newsletter.db import db
from newsletter.db.leases import alone
from newsletter.mail.deliverability.checks import EXAMINATIONS, Verdict, examine
from newsletter.mail.deliverability.dns import Names
from newsletter.mail.message import sender_domain
from newsletter.mail.models import Grade, Standing
from newsletter.mail.smtp.probe import greet

#: Kept findings are found anew after so long: sooner while something is wrong, as somebody is mending it.
GOOD_FOR, BAD_FOR = timedelta(hours=6), timedelta(minutes=10)
#: Older ones say nothing any more; a worker has been away.
LONGEST_KEPT = timedelta(days=3)
#: However often somebody asks.
SHORTEST = timedelta(seconds=20)
#: Names that nobody in the world has (RFC 2606, 6761, 6762): mail from them is for trying out.
_RESERVED = re.compile(r"(?:.*\.)?(?:example|test|invalid|localhost|local|internal|example\.(?:com|net|org))")


def is_demanded(chosen: Settings) -> bool:
    """Tell whether a campaign needs all of this in order: not while everything stays on this machine."""
    if chosen.preflight == "always":
        return True
    is_rehearsal = chosen.uses_mailbox or chosen.is_local
    return not (is_rehearsal or _RESERVED.fullmatch(sender_domain(chosen).lower()))


def refresh(now: datetime) -> Sequence[Standing]:
    """Examine everything and keep what was found. Commits. Takes some seconds where nobody answers."""
    with alone("standing") as mine:  # whoever looks at the same time would write the same
        last = db.session.scalar(sa.select(sa.func.min(Standing.checked_at)))
        db.session.rollback()  # no transaction while we wait for others
        if mine and (last is None or not now - SHORTEST < last <= now):
            _keep(examine(settings(), Names(settings()), greet() if settings().mail_server else None), now)
    return kept()


def _keep(found: Sequence[Verdict], now: datetime) -> None:
    db.session.execute(sa.delete(Standing))
    for one in found:
        row = Standing(code=one.code, grade=one.grade, word=one.word, details=one.values, checked_at=now)
        db.session.add(row)
    db.session.commit()


def refresh_if_due(now: datetime) -> None:
    """Do as ``refresh`` where it is demanded and time; for whoever may wait some seconds."""
    if is_demanded(settings()) and is_due(now):
        refresh(now)


def kept() -> Sequence[Standing]:
    """Return what was found last, in the order of ``examine``; nothing when nobody has looked yet."""
    rows = db.session.scalars(sa.select(Standing)).all()
    return sorted(rows, key=lambda row: list(EXAMINATIONS).index(row.code))


def is_due(now: datetime) -> bool:
    """Tell whether it is time to look again."""
    rows = kept()
    wrong = any(row.grade is Grade.FAILED for row in rows)
    return not rows or now - rows[0].checked_at > (BAD_FOR if wrong else GOOD_FOR)
