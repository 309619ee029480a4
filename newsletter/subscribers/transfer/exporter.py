"""CSV export of subscriptions, with their dates and where each came from."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from newsletter.db import db, read_transactions
from newsletter.ledger import audit
from newsletter.subscribers.consent.tracking import states_allowing_tracking
from newsletter.subscribers.models import Consent, ConsentKind, MailingList, Subscriber, Subscription
from newsletter.subscribers.objections import exportable_for, find_objections
from newsletter.web.csv_output import CsvWriter

COLUMNS = (
    "address",
    "language",
    "list",
    "status",
    "confirmed_at",
    "unsubscribed_at",
    "source",
    "tracking",
    "measured",
    "objections",
)
#: Subscriptions read in one transaction.
PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class ExportCount:
    """How much goes out."""

    subscriptions: int
    #: Subscriptions whose person has objected to the purpose, or has had processing restricted.
    left_out: int


def record_export(lists: Sequence[MailingList], *, purpose: str, now: datetime, actor: str) -> ExportCount:
    """Write the audit entry of an export before it begins; return the number of subscriptions."""
    numbers = sa.select(sa.func.count()).select_from(Subscription).join(Subscription.subscriber)
    every = db.session.scalar(numbers.where(_on_lists(lists))) or 0
    going = db.session.scalar(numbers.where(_on_lists(lists), exportable_for(purpose))) or 0
    counted = ExportCount(going, every - going)
    slugs = [mailing_list.slug for mailing_list in lists]
    audit.record(
        "subscribers exported",
        actor=actor,
        now=now,
        lists=slugs,
        purpose=purpose,
        subscriptions=counted.subscriptions,
        left_out_objected=counted.left_out,
    )
    return counted


def iterate_csv(lists: Sequence[MailingList], purpose: str) -> Iterator[str]:
    """Yield the CSV file page by page: subscriptions to these lists, or all for an empty sequence.

    No transaction is open between two pages, so a slow client blocks nothing.
    """
    yield _render_csv([COLUMNS])
    last = 0
    while rows := _fetch_page(lists, purpose, after=last):
        yield _render_csv(rows.values())
        last = max(rows)


def _fetch_page(lists: Sequence[MailingList], purpose: str, *, after: int) -> dict[int, list[str]]:
    """Return the cells of one page of subscriptions by subscription id."""
    columns = (
        Subscription.id,
        Subscription.subscriber_id,
        Subscription.list_id,
        Subscription.status,
        Subscription.confirmed_at,
        Subscription.unsubscribed_at,
        Subscriber.address,
        Subscriber.language,
        Subscriber.tracking,
        Subscriber.address_hash,
        MailingList.slug,
    )
    found = sa.select(*columns).join(Subscription.subscriber).join(Subscription.mailing_list)
    wanted = found.where(Subscription.id > after, _on_lists(lists), exportable_for(purpose))
    page = wanted.order_by(Subscription.id).limit(PAGE_SIZE)
    with read_transactions():
        rows = db.session.execute(page).all()
        sources = _sources([row.subscriber_id for row in rows])
        objections = find_objections([row.address_hash for row in rows])
        db.session.rollback()
    return {
        row.id: [
            *_format_row(row, sources.get((row.subscriber_id, row.list_id), "")),
            " ".join(objections.get(row.address_hash, [])),
        ]
        for row in rows
    }


def _on_lists(lists: Sequence[MailingList]) -> sa.ColumnElement[bool]:
    return Subscription.list_id.in_([item.id for item in lists]) if lists else sa.true()


def _sources(subscriber_ids: Sequence[int]) -> dict[tuple[int | None, int | None], str]:
    """Return the source of each subscription: that of its import, or the method form, page, staff."""
    asked = sa.or_(Consent.kind == ConsentKind.ASKED, Consent.import_id.is_not(None))
    facts = (
        sa.select(Consent.subscriber_id, Consent.list_id, Consent.source, Consent.method)
        .where(Consent.subscriber_id.in_(subscriber_ids), Consent.list_id.is_not(None), asked)
        .order_by(Consent.id)
    )
    return {
        (fact.subscriber_id, fact.list_id): fact.source or fact.method for fact in db.session.execute(facts)
    }


def _format_row(row: Any, source: str) -> list[str]:  # noqa: ANN401 - a row has no type of its own
    return [
        row.address,
        row.language,
        row.slug,
        row.status.value,
        _format_instant(row.confirmed_at),
        _format_instant(row.unsubscribed_at),
        source,
        row.tracking.value,
        "yes" if row.tracking in states_allowing_tracking() else "no",
    ]


def _format_instant(at: datetime | None) -> str:
    return at.isoformat(timespec="seconds") if at else ""


def _render_csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    writer = CsvWriter(text)
    for row in rows:
        writer.write(row)
    return text.getvalue()
