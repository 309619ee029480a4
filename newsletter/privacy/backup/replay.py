"""What a restored database does not know and the journal does: who was erased, and who wished what since.

It may be done any number of times. Whoever confirmed anew after leaving, and before the backup, stays on
the list; a confirmation after the backup is lost with its proof, so the leaving before it stands.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import sqlalchemy as sa

from newsletter.db import db, insert_or_ignore
from newsletter.durable import restore_journal
from newsletter.durable.restore_journal import Line
from newsletter.privacy.backup.hold import hold_moved
from newsletter.privacy.backup.replay_requests import end_access, enter_requests
from newsletter.privacy.models import Ban
from newsletter.privacy.retention.erasure import erase_people
from newsletter.subscribers.consent.evidence import Visit, record_consent
from newsletter.subscribers.models import (
    ConsentKind,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    SuppressionReason,
    TrackingState,
)
from newsletter.subscribers.suppressions import store_suppression

_AT_ONCE = 500
_NOBODY = Visit(ip="")


def replay(now: datetime) -> dict[str, int]:
    """Do again what the journal says, and return how many people and addresses that changed. Commits."""
    lines = list(restore_journal.read())
    erased = _who_came_back([line for line in lines if line.act == restore_journal.ERASED])
    for start in range(0, len(erased), _AT_ONCE):
        erase_people(erased[start : start + _AT_ONCE], now=now)
    return {
        "erased_again": len(erased),
        "left_again": _for_each(lines, {restore_journal.LEFT}, _leave),
        "refused_again": _for_each(lines, {restore_journal.REFUSED}, _refuse),
        "restricted_again": _for_each(_last_of_each(lines), {restore_journal.RESTRICTED}, _restrict),
        "barred_again": _bar(lines),
        "requests_again": enter_requests(lines),
        "access_ended_again": end_access(lines, now),
        "moved_held": hold_moved(lines, now),
    }


def _who_came_back(lines: Sequence[Line]) -> list[int]:
    """Return the people whom the journal knows as erased and the database still has."""
    by_id = {line.id: line for line in lines}
    by_hash = {line.hash: line for line in lines}
    known = sa.select(
        Subscriber.id,
        Subscriber.created_at,
        Subscriber.address_hash,
        sa.select(sa.func.max(Subscription.confirmed_at))
        .where(Subscription.subscriber_id == Subscriber.id)
        .scalar_subquery(),
    )
    back = []
    for subscriber_id, since, address_hash, confirmed_at in db.session.execute(known):
        line = by_id.get(subscriber_id)
        line = line if line and line.since == since else by_hash.get(address_hash)
        # Whoever signed up anew after the erasure is another row, and stays.
        if line and since <= line.at and (confirmed_at is None or _aware(confirmed_at) <= line.at):
            back.append(subscriber_id)
    db.session.rollback()
    return back


def _for_each(lines: Iterable[Line], acts: set[str], again: Callable[[Subscriber, Line], bool]) -> int:
    """Do these acts again for whoever is here; return how many people that changed. Commits in steps."""
    chosen = [line for line in lines if line.act in acts]
    changed: set[int] = set()
    for start in range(0, len(chosen), _AT_ONCE):
        some = chosen[start : start + _AT_ONCE]
        for person, line in _with_people(some):
            if again(person, line):
                changed.add(person.id)
        db.session.commit()
    return len(changed)


def _with_people(lines: Sequence[Line]) -> list[tuple[Subscriber, Line]]:
    """Pair lines with people, by number, or by address where that number is somebody else here."""
    wanted = sa.or_(
        Subscriber.id.in_({line.id for line in lines if line.id}),
        Subscriber.address_hash.in_({line.hash for line in lines}),
    )
    people = db.session.scalars(
        sa.select(Subscriber).where(wanted).options(sa.orm.selectinload(Subscriber.subscriptions))
    ).all()
    by_id = {(person.id, person.created_at): person for person in people}
    by_hash = {person.address_hash: person for person in people}
    found = [
        (by_id.get((line.id or 0, line.since or line.at)) or by_hash.get(line.hash), line) for line in lines
    ]
    return [(person, line) for person, line in found if person is not None]


def _leave(person: Subscriber, line: Line) -> bool:
    ended = [
        item
        for item in person.subscriptions
        if item.list_id == line.told.get("list")
        and item.status is SubscriptionStatus.CONFIRMED
        and item.confirmed_at is not None
        and item.confirmed_at <= line.at
    ]
    for item in ended:
        item.status, item.unsubscribed_at = SubscriptionStatus.UNSUBSCRIBED, line.at
        _withdraw(person, line, item)
    return bool(ended)


def _refuse(person: Subscriber, line: Line) -> bool:
    has_spoken_since = person.tracking_chosen_at is not None and person.tracking_chosen_at > line.at
    if person.tracking is TrackingState.REFUSED or has_spoken_since:
        return False
    person.tracking, person.tracking_chosen_at = TrackingState.REFUSED, line.at
    _withdraw(person, line, None)
    return True


def _restrict(person: Subscriber, line: Line) -> bool:
    if person.restricted_at is not None:
        return False
    person.restricted_at = line.at
    return True


def _withdraw(person: Subscriber, line: Line, subscription: Subscription | None) -> None:
    record_consent(
        ConsentKind.WITHDRAWN,
        person,
        mailing_list=subscription.mailing_list if subscription else None,
        now=line.at,
        method=str(line.told.get("method", "staff")),
        visit=_NOBODY,
    )


def _last_of_each(lines: Iterable[Line]) -> list[Line]:
    """Return the last line on each person's restriction: one that was lifted stays lifted."""
    acts = {restore_journal.RESTRICTED, restore_journal.UNRESTRICTED}
    return list({(line.id, line.since): line for line in lines if line.act in acts}.values())


def _bar(lines: Iterable[Line]) -> int:
    """Suppress and ban again what was not lifted since; return how many addresses that changed. Commits."""
    standing: dict[str, list[Line]] = {}
    for line in lines:
        if line.act in {restore_journal.SUPPRESSED, restore_journal.BANNED}:
            standing.setdefault(line.hash, []).append(line)
        elif line.act == restore_journal.LIFTED:
            bans = [] if line.told.get("bans") else standing.get(line.hash, [])
            standing[line.hash] = [other for other in bans if other.act == restore_journal.BANNED]
    changed = {line.hash for theirs in standing.values() for line in theirs if _bar_one(line)}
    db.session.commit()
    return len(changed)


def _bar_one(line: Line) -> bool:
    if line.act == restore_journal.BANNED:
        row = {"address_hash": line.hash, "scope": line.told["scope"], "created_at": line.at}
        return bool(insert_or_ignore(Ban, row))
    reason = SuppressionReason(line.told["reason"])
    return store_suppression(line.hash, str(line.told["key"]), reason, line.at)


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
