"""Export and erasure of a person across all domains, in an order that survives being killed.

Lower domains first, the subscriber last: killed half-way, the subscriber still exists and the next run
finds them again.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from newsletter.bounces import personal_data as bounce_data
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.db.batching import People
from newsletter.db.id_bitmap import in_people
from newsletter.durable import restore_journal
from newsletter.ledger import audit
from newsletter.mail.dev_mailbox import delete_mails_to
from newsletter.privacy import personal_data
from newsletter.privacy.deadlines import end_of_year_after
from newsletter.privacy.models import Hold
from newsletter.sending import personal_data as sending_data
from newsletter.subscribers import personal_data as subscriber_data
from newsletter.subscribers.models import Subscriber
from newsletter.tracking import personal_data as tracking_data


def collect_personal_data(subscriber: Subscriber) -> dict[str, Any]:
    """Return everything held on a person in every domain, instants as ISO 8601 in UTC."""
    return (
        subscriber_data.export(subscriber)
        | sending_data.export(subscriber)
        | bounce_data.export(subscriber)
        | tracking_data.export(subscriber)
        | personal_data.export(subscriber)
        | {"acts": audit.export(subscriber.id)}
    )


def journal_erasure(subscriber_ids: People, *, now: datetime) -> None:
    """Write the erasures to the restore journal, so that a restored backup cannot undo them."""
    rows = db.session.execute(
        sa.select(Subscriber.id, Subscriber.created_at, Subscriber.address_hash).where(
            in_people(Subscriber.id, subscriber_ids)
        )
    )
    restore_journal.append(
        restore_journal.JournalEntry(now, address_hash, id=number, since=since)
        for number, since, address_hash in rows
    )


def erase_activity(subscriber_ids: People) -> dict[str, int]:
    """Delete opens, clicks and deliveries of these people; return how many. Commits as it goes."""
    return {
        "events": tracking_data.erase(subscriber_ids),
        "link_readers": tracking_data.erase_readers(subscriber_ids),
        "deliveries": sending_data.erase(subscriber_ids),
    }


def erase_subscribers(subscriber_ids: People, *, now: datetime) -> dict[str, int]:
    """Erase the people themselves, in the caller's transaction; return how many rows went."""
    personal_data.erase(subscriber_ids)
    audit.erase(subscriber_ids)
    bounce_data.erase(subscriber_ids)
    return subscriber_data.erase(
        subscriber_ids, keep_until=end_of_year_after(now, current_settings().keep_proof_years)
    )


def clear_dev_mailbox(subscriber_ids: People) -> None:
    """Delete these people's mails from the development mailbox."""
    if current_settings().uses_mailbox:
        wanted = sa.select(Subscriber.address_key).where(in_people(Subscriber.id, subscriber_ids))
        delete_mails_to(set(db.session.scalars(wanted)))


def is_on_hold(subscriber_id: int) -> bool:
    """Tell whether a person's data is under an active hold."""
    held = sa.select(Hold.id).where(Hold.subscriber_id == subscriber_id, Hold.ended_at.is_(None))
    return db.session.scalar(held.limit(1)) is not None
