"""SQL of the sending worker, compiled once for each dialect.

Building a statement costs more than running it. Leasing and claiming check in the same statement whether
the person may be written to, so unsubscribing takes effect for every mail not yet sent.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect

from newsletter.campaigns.models import Campaign, CampaignList, CampaignStatus, CampaignTotals
from newsletter.db import dialect, in_list, table_of
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.worker.prepared import PreparedStatement, Statement
from newsletter.subscribers.models import Subscriber, Subscription, SubscriptionStatus, Suppression

#: Rows leased at a time. Each lease costs an fsync; those of a dead worker wait until it expires.
LEASE_BATCH = 500
WAITING_STATUSES = (DeliveryStatus.QUEUED, DeliveryStatus.DEFERRED)
#: Statuses after an outcome that the totals count.
COUNTED_STATUSES = (DeliveryStatus.ACCEPTED, DeliveryStatus.FAILED, DeliveryStatus.UNCERTAIN)

_DELIVERIES, _SUBSCRIBERS, _TOTALS = table_of(Delivery), table_of(Subscriber), table_of(CampaignTotals)
_IN_CAMPAIGN = _DELIVERIES.c.campaign_id == sa.bindparam("campaign")
# No IN: it would be written out anew for each execution.
_IS_WAITING = sa.or_(*(_DELIVERIES.c.status == status for status in WAITING_STATUSES))
_IS_LEASED_HERE = _DELIVERIES.c.leased_by == sa.bindparam("holder")
#: The oldest list of the campaign that a person is on; NULL for one who may not be written to.
ELIGIBLE_LIST = (
    sa.select(sa.func.min(Subscription.list_id))
    .join(_SUBSCRIBERS, _SUBSCRIBERS.c.id == Subscription.subscriber_id)
    .where(
        Subscription.subscriber_id == _DELIVERIES.c.subscriber_id,
        Subscription.status == SubscriptionStatus.CONFIRMED,
        Subscription.list_id.in_(
            sa.select(CampaignList.list_id).where(CampaignList.campaign_id == sa.bindparam("campaign"))
        ),
        _SUBSCRIBERS.c.restricted_at.is_(None),
        ~sa.exists().where(Suppression.address_hash == _SUBSCRIBERS.c.address_hash),
    )
    .correlate(_DELIVERIES)
    .scalar_subquery()
)
_ADDRESS = (
    sa.select(_SUBSCRIBERS.c.address)
    .where(_SUBSCRIBERS.c.id == _DELIVERIES.c.subscriber_id)
    .scalar_subquery()
)
_TRACKING = (
    sa.select(_SUBSCRIBERS.c.tracking)
    .where(_SUBSCRIBERS.c.id == _DELIVERIES.c.subscriber_id)
    .scalar_subquery()
)
_IS_SENDING = sa.exists().where(
    Campaign.id == sa.bindparam("campaign"), Campaign.status == CampaignStatus.SENDING
)


def get_statement(name: str) -> PreparedStatement:
    """Return a statement, by its key in ``_BUILDERS``, for the dialect of the session."""
    return _get_statement(name, dialect())


@cache
def _get_statement(name: str, dialect: Dialect) -> PreparedStatement:
    return PreparedStatement(_BUILDERS[name](for_sqlite=dialect.name == "sqlite"), dialect)


def _rows_of(name: str = "people", *, for_sqlite: bool) -> sa.ColumnElement[bool]:
    if for_sqlite:
        return sa.and_(_IN_CAMPAIGN, in_list(_DELIVERIES.c.subscriber_id, name, for_sqlite=True))
    kind = postgresql.ARRAY(sa.Integer)
    # Behind a SELECT, so that PostgreSQL does not see how short the list is: else it deems it worth
    # while to plan anew for each, which takes four times as long as all the rest.
    people = sa.cast(sa.select(sa.bindparam(name, type_=kind)).scalar_subquery(), kind)
    return sa.and_(_IN_CAMPAIGN, _DELIVERIES.c.subscriber_id == sa.any_(people))


def _lease(*, for_sqlite: bool) -> sa.Update:  # noqa: ARG001 - as all of them
    due = (
        sa.select(_DELIVERIES.c.subscriber_id)
        .where(
            _IN_CAMPAIGN,
            _DELIVERIES.c.subscriber_id > sa.bindparam("after"),
            _IS_WAITING,
            sa.or_(_DELIVERIES.c.due_at.is_(None), _DELIVERIES.c.due_at <= sa.bindparam("now")),
            sa.or_(_DELIVERIES.c.leased_until.is_(None), _DELIVERIES.c.leased_until <= sa.bindparam("now")),
            _IS_SENDING,
        )
        .order_by(_DELIVERIES.c.subscriber_id)
        .limit(LEASE_BATCH)
        .with_for_update(skip_locked=True, of=_DELIVERIES)
        .cte("due")
        # A plain sub-select may be run once for each row, and lock and lease as many again each time.
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    return (
        sa.update(_DELIVERIES)
        .where(_IN_CAMPAIGN, _DELIVERIES.c.subscriber_id.in_(sa.select(due.c.subscriber_id)))
        .values(leased_by=sa.bindparam("holder"), leased_until=sa.bindparam("until"))
        .returning(_DELIVERIES.c.subscriber_id)
    )


def _find_eligible(*, for_sqlite: bool) -> sa.Select[Any]:
    return (
        sa.select(_DELIVERIES.c.subscriber_id, _ADDRESS.label("address"), ELIGIBLE_LIST.label("list_id"))
        .where(_rows_of(for_sqlite=for_sqlite))
        .order_by(_DELIVERIES.c.subscriber_id)
    )


def _skip(*, for_sqlite: bool) -> sa.Update:
    return (
        sa.update(_DELIVERIES)
        .where(_rows_of(for_sqlite=for_sqlite), _IS_LEASED_HERE, _IS_WAITING, ELIGIBLE_LIST.is_(None))
        .values(status=DeliveryStatus.SKIPPED, leased_by=None, leased_until=None)
        .returning(_DELIVERIES.c.subscriber_id)
    )


def _reset_claim(*, for_sqlite: bool) -> sa.Update:
    """Undo a claim whose commit was never confirmed; nothing was sent on it."""
    is_marked = sa.and_(_IS_LEASED_HERE, _DELIVERIES.c.status == DeliveryStatus.SENDING)
    return (
        sa.update(_DELIVERIES)
        .where(_rows_of(for_sqlite=for_sqlite), is_marked)
        .values(status=DeliveryStatus.QUEUED, attempts=_DELIVERIES.c.attempts - 1)
    )


def _claim(*, for_sqlite: bool) -> sa.Update:
    measured = [
        sa.bindparam(f"measured_{number}", type_=_SUBSCRIBERS.c.tracking.type) == _TRACKING
        for number in (1, 2)
    ]
    return (
        sa.update(_DELIVERIES)
        .where(
            _rows_of(for_sqlite=for_sqlite),
            _IS_LEASED_HERE,
            _IS_WAITING,
            ELIGIBLE_LIST.is_not(None),
            _IS_SENDING,
        )
        .values(
            status=DeliveryStatus.SENDING,
            attempts=_DELIVERIES.c.attempts + 1,
            leased_until=sa.bindparam("until"),
            list_id=ELIGIBLE_LIST,
            # NULL, when nobody is measured, is false.
            is_measured=sa.func.coalesce(sa.or_(*measured), sa.false()),
        )
        .returning(
            _DELIVERIES.c.campaign_id,
            _DELIVERIES.c.subscriber_id,
            _DELIVERIES.c.edition_id,
            _DELIVERIES.c.list_id,
            _DELIVERIES.c.attempts,
            _ADDRESS.label("address"),
            _DELIVERIES.c.is_measured,
        )
    )


def _record(*, for_sqlite: bool) -> sa.Update:
    return _record_where(
        sa.and_(_IS_LEASED_HERE, _DELIVERIES.c.status == DeliveryStatus.SENDING), for_sqlite=for_sqlite
    )


def _record_late(*, for_sqlite: bool) -> sa.Update:
    """Record outcomes that came after our lease had ended and the delivery become ``uncertain``."""
    return _record_where(_DELIVERIES.c.status == DeliveryStatus.UNCERTAIN, for_sqlite=for_sqlite)


def _record_where(held: sa.ColumnElement[bool], *, for_sqlite: bool) -> sa.Update:
    given = _outcome_rows(for_sqlite=for_sqlite)
    is_accepted = given.c.status == sa.literal(DeliveryStatus.ACCEPTED.value, sa.String)
    now = sa.bindparam("now", type_=_DELIVERIES.c.accepted_at.type)
    return (
        sa.update(_DELIVERIES)
        .where(
            # Said twice: by a list both engines look up the rows, by those of a function they read all.
            _rows_of("answered", for_sqlite=for_sqlite),
            _DELIVERIES.c.subscriber_id == given.c.subscriber_id,
            _DELIVERIES.c.attempts == given.c.attempts,
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
        .returning(_DELIVERIES.c.subscriber_id, _DELIVERIES.c.status, _DELIVERIES.c.is_measured)
    )


def _outcome_rows(*, for_sqlite: bool) -> sa.FromClause:
    """Return the outcomes, a JSON list of objects, as rows: one statement for any number of them."""
    names = ("subscriber_id", "attempts", "status", "due_at", "reply_code", "reply_text", "rule", "rules")
    text = sa.bindparam("given", type_=sa.String)
    if for_sqlite:
        each = sa.func.json_each(text).table_valued("value")
        columns = [sa.func.json_extract(each.c.value, f"$.{name}").label(name) for name in names]
        return sa.select(*columns).subquery("given")
    typed = [sa.column(name, _DELIVERIES.c[name].type) for name in names]
    rows = sa.func.json_to_recordset(sa.cast(text, sa.JSON)).table_valued(*typed)
    return rows.render_derived("given", with_types=True)


def _record_and_claim(*, for_sqlite: bool) -> sa.CompoundSelect[Any]:
    """Record, count and claim in one statement with data-modifying CTEs (PostgreSQL only)."""
    answered = _record(for_sqlite=for_sqlite).cte("answered")
    claimed = _claim(for_sqlite=for_sqlite).cte("claimed")
    are_accepted = answered.c.status == DeliveryStatus.ACCEPTED
    numbers = {
        status.value: sa.func.count().filter(answered.c.status == status) for status in COUNTED_STATUSES
    } | {"measured": sa.func.count().filter(are_accepted, answered.c.is_measured)}
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
    nothing = [sa.null()] * (len(claimed.c) - 2)
    recorded = sa.select(sa.null(), answered.c.subscriber_id, *nothing)
    return sa.select(*claimed.c).union_all(recorded).add_cte(counted)


_BUILDERS: dict[str, Callable[..., Statement]] = {
    "lease": _lease,
    "find_eligible": _find_eligible,
    "skip": _skip,
    "reset_claim": _reset_claim,
    "claim": _claim,
    "record": _record,
    "record_late": _record_late,
    "record_and_claim": _record_and_claim,
}
