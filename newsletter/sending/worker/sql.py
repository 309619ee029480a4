"""What leasing and settling say to the database, made once for each engine.

Building a statement costs more than running it. Whoever takes a delivery asks in the same statement
whether its person may be written to, so leaving takes effect for every mail not yet handed over.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect

from newsletter.campaigns.models import Campaign, CampaignList, CampaignStatus, CampaignTotals
from newsletter.db import among, dialect, table_of
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.worker.prepared import Prepared, Statement
from newsletter.subscribers.models import Subscriber, Subscription, SubscriptionStatus, Suppression

#: Rows leased at a time. Each time costs a flush to the disk; what a dying worker holds waits for its lease.
BATCH = 500
WAITING = (DeliveryStatus.QUEUED, DeliveryStatus.DEFERRED)
#: What an answer may make of a delivery that the totals count.
COUNTED = (DeliveryStatus.ACCEPTED, DeliveryStatus.FAILED, DeliveryStatus.UNCERTAIN)

_ROWS, _PEOPLE, _TOTALS = table_of(Delivery), table_of(Subscriber), table_of(CampaignTotals)
_THIS = _ROWS.c.campaign_id == sa.bindparam("campaign")
# No IN: it would be written out anew for each execution.
_IS_WAITING = sa.or_(*(_ROWS.c.status == status for status in WAITING))
_IS_OURS = _ROWS.c.leased_by == sa.bindparam("holder")
#: The oldest list of the campaign that a person is on; NULL for one who may not be written to.
LIST = (
    sa.select(sa.func.min(Subscription.list_id))
    .join(_PEOPLE, _PEOPLE.c.id == Subscription.subscriber_id)
    .where(
        Subscription.subscriber_id == _ROWS.c.subscriber_id,
        Subscription.status == SubscriptionStatus.CONFIRMED,
        Subscription.list_id.in_(
            sa.select(CampaignList.list_id).where(CampaignList.campaign_id == sa.bindparam("campaign"))
        ),
        _PEOPLE.c.restricted_at.is_(None),
        ~sa.exists().where(Suppression.address_hash == _PEOPLE.c.address_hash),
    )
    .correlate(_ROWS)
    .scalar_subquery()
)
_ADDRESS = sa.select(_PEOPLE.c.address).where(_PEOPLE.c.id == _ROWS.c.subscriber_id).scalar_subquery()
_TRACKING = sa.select(_PEOPLE.c.tracking).where(_PEOPLE.c.id == _ROWS.c.subscriber_id).scalar_subquery()
_IS_RUNNING = sa.exists().where(
    Campaign.id == sa.bindparam("campaign"), Campaign.status == CampaignStatus.SENDING
)


def prepared(name: str) -> Prepared:
    """Return a statement in the words of the session's engine."""
    return _prepared(name, dialect())


@cache
def _prepared(name: str, dialect: Dialect) -> Prepared:
    return Prepared(_MAKERS[name](for_sqlite=dialect.name == "sqlite"), dialect)


def _these(name: str = "people", *, for_sqlite: bool) -> sa.ColumnElement[bool]:
    if for_sqlite:
        return sa.and_(_THIS, among(_ROWS.c.subscriber_id, name, for_sqlite=True))
    kind = postgresql.ARRAY(sa.Integer)
    # Behind a SELECT, so that PostgreSQL does not see how short the list is: else it deems it worth
    # while to plan anew for each, which takes four times as long as all the rest.
    people = sa.cast(sa.select(sa.bindparam(name, type_=kind)).scalar_subquery(), kind)
    return sa.and_(_THIS, _ROWS.c.subscriber_id == sa.any_(people))


def _lease(*, for_sqlite: bool) -> sa.Update:  # noqa: ARG001 - as all of them
    due = (
        sa.select(_ROWS.c.subscriber_id)
        .where(
            _THIS,
            _ROWS.c.subscriber_id > sa.bindparam("after"),
            _IS_WAITING,
            sa.or_(_ROWS.c.due_at.is_(None), _ROWS.c.due_at <= sa.bindparam("now")),
            sa.or_(_ROWS.c.leased_until.is_(None), _ROWS.c.leased_until <= sa.bindparam("now")),
            _IS_RUNNING,
        )
        .order_by(_ROWS.c.subscriber_id)
        .limit(BATCH)
        .with_for_update(skip_locked=True, of=_ROWS)
        .cte("due")
        # A plain sub-select may be run once for each row, and lock and lease as many again each time.
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    return (
        sa.update(_ROWS)
        .where(_THIS, _ROWS.c.subscriber_id.in_(sa.select(due.c.subscriber_id)))
        .values(leased_by=sa.bindparam("holder"), leased_until=sa.bindparam("until"))
        .returning(_ROWS.c.subscriber_id)
    )


def _look(*, for_sqlite: bool) -> sa.Select[Any]:
    return (
        sa.select(_ROWS.c.subscriber_id, _ADDRESS.label("address"), LIST.label("list_id"))
        .where(_these(for_sqlite=for_sqlite))
        .order_by(_ROWS.c.subscriber_id)
    )


def _skip(*, for_sqlite: bool) -> sa.Update:
    return (
        sa.update(_ROWS)
        .where(_these(for_sqlite=for_sqlite), _IS_OURS, _IS_WAITING, LIST.is_(None))
        .values(status=DeliveryStatus.SKIPPED, leased_by=None, leased_until=None)
        .returning(_ROWS.c.subscriber_id)
    )


def _unmark(*, for_sqlite: bool) -> sa.Update:
    """Come back from a mark whose commit was never confirmed; nothing was handed over on it."""
    is_marked = sa.and_(_IS_OURS, _ROWS.c.status == DeliveryStatus.SENDING)
    return (
        sa.update(_ROWS)
        .where(_these(for_sqlite=for_sqlite), is_marked)
        .values(status=DeliveryStatus.QUEUED, attempts=_ROWS.c.attempts - 1)
    )


def _mark(*, for_sqlite: bool) -> sa.Update:
    measured = [
        sa.bindparam(f"measured_{number}", type_=_PEOPLE.c.tracking.type) == _TRACKING for number in (1, 2)
    ]
    return (
        sa.update(_ROWS)
        .where(_these(for_sqlite=for_sqlite), _IS_OURS, _IS_WAITING, LIST.is_not(None), _IS_RUNNING)
        .values(
            status=DeliveryStatus.SENDING,
            attempts=_ROWS.c.attempts + 1,
            leased_until=sa.bindparam("until"),
            list_id=LIST,
            # NULL, when nobody is measured, is false.
            is_measured=sa.func.coalesce(sa.or_(*measured), sa.false()),
        )
        .returning(
            _ROWS.c.campaign_id,
            _ROWS.c.subscriber_id,
            _ROWS.c.edition_id,
            _ROWS.c.list_id,
            _ROWS.c.attempts,
            _ADDRESS.label("address"),
            _ROWS.c.is_measured,
        )
    )


def _record(*, for_sqlite: bool) -> sa.Update:
    return _recording(sa.and_(_IS_OURS, _ROWS.c.status == DeliveryStatus.SENDING), for_sqlite=for_sqlite)


def _record_late(*, for_sqlite: bool) -> sa.Update:
    """Record what came when our lease had ended, and the delivery been given up."""
    return _recording(_ROWS.c.status == DeliveryStatus.UNCERTAIN, for_sqlite=for_sqlite)


def _recording(held: sa.ColumnElement[bool], *, for_sqlite: bool) -> sa.Update:
    given = _given(for_sqlite=for_sqlite)
    is_accepted = given.c.status == sa.literal(DeliveryStatus.ACCEPTED.value, sa.String)
    now = sa.bindparam("now", type_=_ROWS.c.accepted_at.type)
    return (
        sa.update(_ROWS)
        .where(
            # Said twice: by a list both engines look up the rows, by those of a function they read all.
            _these("answered", for_sqlite=for_sqlite),
            _ROWS.c.subscriber_id == given.c.subscriber_id,
            _ROWS.c.attempts == given.c.attempts,
            held,
        )
        .values(
            status=given.c.status,
            due_at=given.c.due_at,
            accepted_at=sa.case((is_accepted, now)),
            reply_code=given.c.reply_code,
            reply_text=given.c.reply_text,
            rule=given.c.rule,
            rules=given.c.rules,
            leased_by=None,
            leased_until=None,
        )
        .returning(_ROWS.c.subscriber_id, _ROWS.c.status, _ROWS.c.is_measured)
    )


def _given(*, for_sqlite: bool) -> sa.FromClause:
    """Read the answers, a JSON list of objects, as rows: one statement for all, however unlike."""
    names = ("subscriber_id", "attempts", "status", "due_at", "reply_code", "reply_text", "rule", "rules")
    text = sa.bindparam("given", type_=sa.String)
    if for_sqlite:
        each = sa.func.json_each(text).table_valued("value")
        columns = [sa.func.json_extract(each.c.value, f"$.{name}").label(name) for name in names]
        return sa.select(*columns).subquery("given")
    typed = [sa.column(name, _ROWS.c[name].type) for name in names]
    rows = sa.func.json_to_recordset(sa.cast(text, sa.JSON)).table_valued(*typed)
    return rows.render_derived("given", with_types=True)


def _settle(*, for_sqlite: bool) -> sa.CompoundSelect[Any]:
    """Record, count and mark at once: PostgreSQL takes one statement, which is a transaction by itself."""
    answered = _record(for_sqlite=for_sqlite).cte("answered")
    marked = _mark(for_sqlite=for_sqlite).cte("marked")
    are_accepted = answered.c.status == DeliveryStatus.ACCEPTED
    numbers = {status.value: sa.func.count().filter(answered.c.status == status) for status in COUNTED} | {
        "measured": sa.func.count().filter(are_accepted, answered.c.is_measured)
    }
    sums = sa.select(*[number.label(name) for name, number in numbers.items()]).subquery("sums")
    counted = (
        sa.update(_TOTALS)
        .where(
            _TOTALS.c.campaign_id == sa.bindparam("campaign"),
            sa.exists().where(answered.c.status != DeliveryStatus.DEFERRED),
        )
        .values({name: _TOTALS.c[name] + sums.c[name] for name in numbers})
        .cte("counted")
    )
    nothing = [sa.null()] * (len(marked.c) - 2)
    recorded = sa.select(sa.null(), answered.c.subscriber_id, *nothing)
    return sa.select(*marked.c).union_all(recorded).add_cte(counted)


_MAKERS: dict[str, Callable[..., Statement]] = {
    "lease": _lease,
    "look": _look,
    "skip": _skip,
    "unmark": _unmark,
    "mark": _mark,
    "record": _record,
    "record_late": _record_late,
    "settle": _settle,
}
