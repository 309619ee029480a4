"""Warming up: a new sender may hand over so many newsletters on its first day, more on the next.

Mailbox providers judge a sender they do not know by how it begins. Days on which nothing was sent do
not count. Single mails, such as confirmations, are not held back: somebody waits for them.
"""

import threading
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from newsletter.clock import utcnow
from newsletter.config import settings
from newsletter.db import db, insert_or_ignore
from newsletter.sending.models import SendingDay

#: So many are set aside for a worker at a time: what one that dies has not used is lost for the day.
LOT = 20


@dataclass(frozen=True, slots=True)
class Today:
    """A day of warming up."""

    day: date
    ceiling: int
    taken: int

    @property
    def is_reached(self) -> bool:
        """True when nothing more may be handed over on this day."""
        return self.taken >= self.ceiling


def today(now: datetime) -> Today | None:
    """Return the day's ceiling and how much of it is taken; None where there is no ceiling (any more)."""
    warm_up = settings().warm_up
    if warm_up is None:
        return None
    begins, ceilings = warm_up
    day = now.astimezone(settings().timezone).date()
    if day < begins:
        return None
    rows = dict(
        db.session.execute(
            sa.select(SendingDay.day, SendingDay.taken).where(SendingDay.day.between(begins, day))
        ).all()
    )
    number = sum(taken > 0 for known, taken in rows.items() if known < day)
    return Today(day, ceilings[number], rows.get(day, 0)) if number < len(ceilings) else None


def take(number: int, now: datetime) -> tuple[date, int] | None:
    """Set aside up to so many of today's; return the day and how many, or None without a ceiling. Commits."""
    known = today(now)
    if known is None:
        db.session.rollback()
        return None
    insert_or_ignore(SendingDay, {"day": known.day, "taken": 0})
    row = db.session.get_one(SendingDay, known.day, with_for_update=True, populate_existing=True)
    granted = max(0, min(number, known.ceiling - row.taken))
    row.taken += granted
    db.session.commit()
    return known.day, granted


def give_back(day: date, number: int) -> None:
    """Give back what was set aside and not used. Commits."""
    these = SendingDay.day == day
    db.session.execute(sa.update(SendingDay).where(these).values(taken=SendingDay.taken - number))
    db.session.commit()


class Ceiling:
    """What one pass may still hand over, shared by its connections."""

    def __init__(self) -> None:
        self.is_there = settings().warm_up is not None
        self._lock = threading.Lock()
        self._day: date | None = None
        self._left = 0

    def admits(self) -> bool:
        """Tell whether one more may be handed over, and count it; False when today's ceiling is reached."""
        if not self.is_there:
            return True
        with self._lock:
            if not self._left:
                lot = take(LOT, utcnow())
                if lot is None:
                    self.is_there = False
                    return True
                self._day, self._left = lot
            if not self._left:
                return False
            self._left -= 1
            return True

    def put_back(self) -> None:
        """Count one less: there was nobody to hand it to."""
        with self._lock:
            self._left += self.is_there

    def close(self) -> None:
        """Give back what is left."""
        with self._lock:
            if self._day is not None and self._left:
                give_back(self._day, self._left)
                self._left = 0
