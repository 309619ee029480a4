"""Daily growth of lists: who joined and who left, as plain numbers that stay when people are deleted."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from newsletter.config import current_settings
from newsletter.db import db, is_sqlite, table_of
from newsletter.stats.models import ListDay
from newsletter.subscribers.models import MailingList, Subscription, SubscriptionStatus

#: Period recounted each time, for what was imported or undone late.
_RECOUNT_PERIOD = timedelta(days=1)


def count_list_days(now: datetime) -> None:
    """Count who joined and left the lists lately; the first time, ever since. Commits."""
    known = dict(
        db.session.execute(
            sa.select(ListDay.list_id, sa.func.max(ListDay.day)).group_by(ListDay.list_id)
        ).all()
    )
    today = now.astimezone(current_settings().timezone).date()
    members = dict(
        db.session.execute(
            sa.select(Subscription.list_id, sa.func.count())
            .where(Subscription.status == SubscriptionStatus.CONFIRMED)
            .group_by(Subscription.list_id)
        ).all()
    )
    rows = []
    for list_id in db.session.scalars(sa.select(MailingList.id)).all():
        rows += list(_count_list(list_id, known.get(list_id), today, members.get(list_id, 0), now))
    _upsert_days(rows)
    db.session.commit()


def start_of_day(day: date) -> datetime:
    """Return the first moment of a day in the business time zone."""
    return datetime.combine(day, time(), current_settings().timezone).astimezone(UTC)


def _count_list(
    list_id: int, known: date | None, today: date, members: int, now: datetime
) -> Iterator[dict[str, object]]:
    since = start_of_day(known - _RECOUNT_PERIOD) if known else None
    days: defaultdict[date, Counter[str]] = defaultdict(Counter)
    for name, column in (("joined", Subscription.confirmed_at), ("left", Subscription.unsubscribed_at)):
        moments = sa.select(column).where(Subscription.list_id == list_id, column.is_not(None))
        if since:
            moments = moments.where(column >= since)
        for moment in db.session.scalars(moments):
            if moment is not None:
                days[moment.astimezone(current_settings().timezone).date()][name] += 1
    days[today] += Counter()
    known_days = sa.select(ListDay).where(ListDay.list_id == list_id, ListDay.day.in_(days))
    for row in db.session.scalars(known_days):
        # Who has been erased since still joined and left.
        days[row.day]["joined"] = max(days[row.day]["joined"], row.joined)
        days[row.day]["left"] = max(days[row.day]["left"], row.left)
    # From today backwards: what joined a day later was not there the evening before.
    for day in sorted(days, reverse=True):
        yield {
            "list_id": list_id, "day": day, "joined": days[day]["joined"], "left": days[day]["left"],
            "members": members, "counted_at": now,
        }  # fmt: skip
        members = max(0, members - days[day]["joined"] + days[day]["left"])


def _upsert_days(rows: list[dict[str, object]]) -> None:
    if not rows:
        return
    table = table_of(ListDay)
    insert = sqlite.insert(table) if is_sqlite() else postgresql.insert(table)
    changed = {name: insert.excluded[name] for name in ("joined", "left", "members", "counted_at")}
    db.session.execute(insert.on_conflict_do_update(index_elements=["list_id", "day"], set_=changed), rows)
