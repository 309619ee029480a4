"""Objections (GDPR Art. 21) by address: scopes, look-up, and the condition on exports.

The rows belong to the rights desk. They are kept under the keyed address hash, so that an objection
survives an erasure and covers people who never subscribed.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from newsletter.db import UtcDateTime, db
from newsletter.errors import N_
from newsletter.subscribers.models import Subscriber, Subscription

#: The scopes of an objection, as Finnish privacy notices name them.
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
#: Scopes that end all subscriptions, as a newsletter is direct marketing.
ENDS_SUBSCRIPTIONS = frozenset({"direct_marketing", "other_marketing", "all_mail"})
#: Purposes of an export, with the objections that exclude a person.
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
#: The table belongs to a package above.
_OBJECTIONS = sa.table(
    "bans", sa.column("address_hash"), sa.column("scope"), sa.column("created_at", UtcDateTime)
)


def find_objections(hashes: Sequence[str]) -> dict[str, list[str]]:
    """Return the scopes of objections by address hash, in the order of SCOPE_LABELS."""
    rows = db.session.connection().execute(
        sa.select(_OBJECTIONS.c.address_hash, _OBJECTIONS.c.scope).where(
            _OBJECTIONS.c.address_hash.in_(hashes)
        )
    )
    found: dict[str, list[str]] = {}
    for address_hash, scope in rows:
        found.setdefault(address_hash, []).append(scope)
    return {address_hash: sort_scopes(scopes) for address_hash, scopes in found.items()}


def sort_scopes(scopes: Iterable[str]) -> list[str]:
    """Return scopes in the order of SCOPE_LABELS, unknown ones last."""
    known = list(SCOPE_LABELS)
    return sorted(scopes, key=lambda scope: (known.index(scope) if scope in known else len(known), scope))


def list_objections_since(since: datetime) -> Sequence[sa.Row[int, str, datetime]]:
    """Return the objections of subscribers since an instant: subscriber id, scope, time."""
    found = (
        sa.select(Subscriber.id, _OBJECTIONS.c.scope, _OBJECTIONS.c.created_at)
        .join(_OBJECTIONS, _OBJECTIONS.c.address_hash == Subscriber.address_hash)
        .where(_OBJECTIONS.c.created_at >= since)
        .order_by(_OBJECTIONS.c.created_at, Subscriber.id, _OBJECTIONS.c.scope)
    )
    return db.session.execute(found).all()


def exportable_for(purpose: str) -> sa.ColumnElement[bool]:
    """Return the SQL condition that a subscription joined with its subscriber may be exported for a purpose.

    An objection to marketing is superseded by a later double opt-in. People under restriction (Art. 18) are
    excluded from every purpose but "record".
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
