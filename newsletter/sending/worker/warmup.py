"""Warm-up: a daily limit of newsletters for a new sender, higher on each day of sending (WARM_UP).

Mailbox providers judge an unknown sender by its first volumes. Days on which nothing was sent do not
count. Single mails, such as confirmations, are not limited: somebody waits for them.
"""

import threading
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db, insert_or_ignore
from newsletter.sending.models import SendingDay

#: Mails reserved by a worker at a time: what a dead worker has not used is lost for the day.
RESERVATION_SIZE = 20


@dataclass(frozen=True, slots=True)
class DailyLimit:
    """The limit of one day of warm-up, and how much of it is reserved."""

    day: date
    ceiling: int
    taken: int

    @property
    def is_reached(self) -> bool:
        """True when nothing more may be sent on this day."""
        return self.taken >= self.ceiling


def daily_limit(now: datetime) -> DailyLimit | None:
    """Return the limit of today; None when not warming up (any more)."""
    warm_up = current_settings().warm_up
    if warm_up is None:
        return None
    begins, ceilings = warm_up
    day = now.astimezone(current_settings().timezone).date()
    if day < begins:
        return None
    rows = dict(
        db.session.execute(
            sa.select(SendingDay.day, SendingDay.taken).where(SendingDay.day.between(begins, day))
        ).all()
    )
    number = sum(taken > 0 for known, taken in rows.items() if known < day)
    return DailyLimit(day, ceilings[number], rows.get(day, 0)) if number < len(ceilings) else None


def reserve_quota(number: int, now: datetime) -> tuple[date, int] | None:
    """Reserve up to ``number`` mails of today; return the day and how many, None without a limit. Commits."""
    known = daily_limit(now)
    if known is None:
        db.session.rollback()
        return None
    insert_or_ignore(SendingDay, {"day": known.day, "taken": 0})
    row = db.session.get_one(SendingDay, known.day, with_for_update=True, populate_existing=True)
    granted = max(0, min(number, known.ceiling - row.taken))
    row.taken += granted
    db.session.commit()
    return known.day, granted


def release_quota(day: date, number: int) -> None:
    """Return reserved mails that were not used. Commits."""
    these = SendingDay.day == day
    db.session.execute(sa.update(SendingDay).where(these).values(taken=SendingDay.taken - number))
    db.session.commit()


class WarmupQuota:
    """The mails that one pass may still send, shared by its connections."""

    def __init__(self) -> None:
        self.is_limited = current_settings().warm_up is not None
        self._lock = threading.Lock()
        self._day: date | None = None
        self._left = 0

    def try_consume(self) -> bool:
        """Count one mail; False when today's limit is reached. Commits when it reserves more."""
        if not self.is_limited:
            return True
        with self._lock:
            if not self._left:
                lot = reserve_quota(RESERVATION_SIZE, utcnow())
                if lot is None:
                    self.is_limited = False
                    return True
                self._day, self._left = lot
            if not self._left:
                return False
            self._left -= 1
            return True

    def refund(self) -> None:
        """Undo one ``try_consume``: no delivery was there to send."""
        with self._lock:
            self._left += self.is_limited

    def close(self) -> None:
        """Return what is left of the reservation. Commits."""
        with self._lock:
            if self._day is not None and self._left:
                release_quota(self._day, self._left)
                self._left = 0
