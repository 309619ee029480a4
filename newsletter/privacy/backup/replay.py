"""Replay of the restore journal: erasures, withdrawals, restrictions and suppressions since a backup.

It is idempotent. Whoever confirmed again after leaving, and before the backup, stays on the list; a
confirmation after the backup is lost with its proof, so the withdrawal before it stands.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import sqlalchemy as sa

from newsletter.db import db, insert_or_ignore
from newsletter.durable import restore_journal
from newsletter.durable.restore_journal import JournalEntry
from newsletter.privacy.backup.hold import hold_changed_addresses
from newsletter.privacy.backup.replay_requests import restore_requests, revoke_access
from newsletter.privacy.models import Objection
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

_BATCH_SIZE = 500
_NO_VISIT = Visit(ip="")


def replay_journal(now: datetime) -> dict[str, int]:
    """Apply the journal's entries again; return how many people and addresses changed, by kind. Commits."""
    lines = list(restore_journal.read())
    erased = _find_reappeared([line for line in lines if line.act == restore_journal.ERASED])
    for start in range(0, len(erased), _BATCH_SIZE):
        erase_people(erased[start : start + _BATCH_SIZE], now=now)
    return {
        "erased_again": len(erased),
        "left_again": _replay_acts(lines, {restore_journal.LEFT}, _replay_unsubscribe),
        "refused_again": _replay_acts(lines, {restore_journal.REFUSED}, _replay_tracking_refusal),
        "restricted_again": _replay_acts(
            _last_restriction_entries(lines), {restore_journal.RESTRICTED}, _replay_restriction
        ),
        "barred_again": _replay_suppressions(lines),
        "requests_again": restore_requests(lines),
        "access_ended_again": revoke_access(lines, now),
        "moved_held": hold_changed_addresses(lines, now),
    }


def _find_reappeared(lines: Sequence[JournalEntry]) -> list[int]:
    """Return the subscribers whom the journal has as erased and the restored database still has."""
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
        if line and since <= line.at and (confirmed_at is None or _as_utc(confirmed_at) <= line.at):
            back.append(subscriber_id)
    db.session.rollback()
    return back


def _replay_acts(
    lines: Iterable[JournalEntry], acts: set[str], apply: Callable[[Subscriber, JournalEntry], bool]
) -> int:
    """Apply entries of these kinds to existing subscribers; return how many changed. Commits in batches."""
    chosen = [line for line in lines if line.act in acts]
    changed: set[int] = set()
    for start in range(0, len(chosen), _BATCH_SIZE):
        some = chosen[start : start + _BATCH_SIZE]
        for person, line in _match_subscribers(some):
            if apply(person, line):
                changed.add(person.id)
        db.session.commit()
    return len(changed)


def _match_subscribers(lines: Sequence[JournalEntry]) -> list[tuple[Subscriber, JournalEntry]]:
    """Pair entries with subscribers: by id, or by address where that id is somebody else here."""
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


def _replay_unsubscribe(person: Subscriber, line: JournalEntry) -> bool:
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
        _record_withdrawal(person, line, item)
    return bool(ended)


def _replay_tracking_refusal(person: Subscriber, line: JournalEntry) -> bool:
    has_spoken_since = person.tracking_chosen_at is not None and person.tracking_chosen_at > line.at
    if person.tracking is TrackingState.REFUSED or has_spoken_since:
        return False
    person.tracking, person.tracking_chosen_at = TrackingState.REFUSED, line.at
    _record_withdrawal(person, line, None)
    return True


def _replay_restriction(person: Subscriber, line: JournalEntry) -> bool:
    if person.restricted_at is not None:
        return False
    person.restricted_at = line.at
    return True


def _record_withdrawal(person: Subscriber, line: JournalEntry, subscription: Subscription | None) -> None:
    record_consent(
        ConsentKind.WITHDRAWN,
        person,
        mailing_list=subscription.mailing_list if subscription else None,
        now=line.at,
        method=str(line.told.get("method", "staff")),
        visit=_NO_VISIT,
    )


def _last_restriction_entries(lines: Iterable[JournalEntry]) -> list[JournalEntry]:
    """Return the last entry on each person's restriction: a lifted one stays lifted."""
    acts = {restore_journal.RESTRICTED, restore_journal.UNRESTRICTED}
    return list({(line.id, line.since): line for line in lines if line.act in acts}.values())


def _replay_suppressions(lines: Iterable[JournalEntry]) -> int:
    """Restore suppressions and objections not lifted since; return how many addresses changed. Commits."""
    in_force: dict[str, list[JournalEntry]] = {}
    for line in lines:
        if line.act in {restore_journal.SUPPRESSED, restore_journal.BANNED}:
            in_force.setdefault(line.hash, []).append(line)
        elif line.act == restore_journal.LIFTED:
            bans = [] if line.told.get("bans") else in_force.get(line.hash, [])
            in_force[line.hash] = [other for other in bans if other.act == restore_journal.BANNED]
    changed = {line.hash for entries in in_force.values() for line in entries if _replay_suppression(line)}
    db.session.commit()
    return len(changed)


def _replay_suppression(line: JournalEntry) -> bool:
    if line.act == restore_journal.BANNED:
        row = {"address_hash": line.hash, "scope": line.told["scope"], "created_at": line.at}
        return bool(insert_or_ignore(Objection, row))
    reason = SuppressionReason(line.told["reason"])
    return store_suppression(line.hash, str(line.told["key"]), reason, line.at)


def _as_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
