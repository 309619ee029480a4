"""Objections (GDPR art. 21): what an address must not be used for, shown wherever the person is.

The rows belong to the desk of rights requests. They are kept under the keyed hash, so that an objection
outlives its person, and holds for somebody who never subscribed.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from newsletter.db import UtcDateTime, db
from newsletter.errors import N_
from newsletter.subscribers.models import Subscriber, Subscription

#: What somebody can object to, as the notices of Finnish companies name it, each its own.
SCOPE_LABELS = {
    "direct_marketing": N_("Direct advertising"),
    "distance_selling": N_("Distance selling"),
    "other_marketing": N_("Other direct marketing"),
    "research": N_("Market and opinion research, tracking included"),
    "lists": N_("Lists and directories"),
    "genealogy": N_("Personal registers and genealogy"),
    "disclosure": N_("Disclosure to others"),
    "all_mail": N_("All mail"),
}
#: A newsletter is advertising of a kind: any of these ends all subscriptions.
ENDS_SUBSCRIPTIONS = frozenset({"direct_marketing", "other_marketing", "all_mail"})
#: What people are exported for, and the objections that leave somebody out.
EXPORT_PURPOSES = {
    "newsletter": ENDS_SUBSCRIPTIONS,
    "direct_marketing": frozenset({"direct_marketing", "all_mail"}),
    "distance_selling": frozenset({"distance_selling", "all_mail"}),
    "other_marketing": frozenset({"other_marketing", "all_mail"}),
    "research": frozenset({"research", "all_mail"}),
    "lists": frozenset({"lists", "disclosure"}),
    "genealogy": frozenset({"genealogy", "disclosure"}),
    "disclosure": frozenset({"disclosure"}),
    #: The controller's own record: everybody, with what each has objected to.
    "record": frozenset[str](),
}
#: A table of a rung above.
_OBJECTIONS = sa.table(
    "bans", sa.column("address_hash"), sa.column("scope"), sa.column("created_at", UtcDateTime)
)


def objections_of(hashes: Sequence[str]) -> dict[str, list[str]]:
    """Return what each of these addresses has objected to, by hash, in the order of SCOPE_LABELS."""
    rows = db.session.connection().execute(
        sa.select(_OBJECTIONS.c.address_hash, _OBJECTIONS.c.scope).where(
            _OBJECTIONS.c.address_hash.in_(hashes)
        )
    )
    found: dict[str, list[str]] = {}
    for address_hash, scope in rows:
        found.setdefault(address_hash, []).append(scope)
    return {address_hash: in_order(scopes) for address_hash, scopes in found.items()}


def in_order(scopes: Iterable[str]) -> list[str]:
    """Return scopes in the order in which people choose them; one of an older program comes last."""
    known = list(SCOPE_LABELS)
    return sorted(scopes, key=lambda scope: (known.index(scope) if scope in known else len(known), scope))


def new_objections(since: datetime) -> Sequence[sa.Row[int, str, datetime]]:
    """Return the objections of subscribers since a moment: whose, to what, when."""
    found = (
        sa.select(Subscriber.id, _OBJECTIONS.c.scope, _OBJECTIONS.c.created_at)
        .join(_OBJECTIONS, _OBJECTIONS.c.address_hash == Subscriber.address_hash)
        .where(_OBJECTIONS.c.created_at >= since)
        .order_by(_OBJECTIONS.c.created_at, Subscriber.id, _OBJECTIONS.c.scope)
    )
    return db.session.execute(found).all()


def may_be_exported(purpose: str) -> sa.ColumnElement[bool]:
    """Return the condition that a purpose may have a subscription joined with its subscriber.

    An objection to advertising ends where the person has ordered a newsletter anew since. Whoever has had
    processing restricted (art. 18) is left out of every purpose but the record.
    """
    barring = EXPORT_PURPOSES[purpose]
    if not barring:
        return sa.true()
    against = sa.select(_OBJECTIONS.c.scope).where(
        _OBJECTIONS.c.address_hash == Subscriber.address_hash, _OBJECTIONS.c.scope.in_(sorted(barring))
    )
    if purpose == "newsletter":
        is_newer = sa.or_(
            Subscription.confirmed_at.is_(None), _OBJECTIONS.c.created_at >= Subscription.confirmed_at
        )
        against = against.where(sa.or_(is_newer, _OBJECTIONS.c.scope == "all_mail"))
    return sa.and_(Subscriber.restricted_at.is_(None), ~against.correlate(Subscriber, Subscription).exists())
