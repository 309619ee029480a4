"""A person's own copy of everything held on them, and their own erasure, by a fresh link.

Whoever reads the mailbox is the person: no signature, no copy of a document.
"""

from datetime import datetime
from typing import Any

from newsletter import audit
from newsletter.db import db
from newsletter.privacy.erasure import erase_person
from newsletter.sending import personal_data as sending_data
from newsletter.stats.rollups import load_spool
from newsletter.subscribers import personal_data as subscriber_data
from newsletter.subscribers.fresh_links import find_link, use_link
from newsletter.subscribers.models import LinkPurpose, Subscriber
from newsletter.tracking import personal_data as tracking_data


def collect(subscriber: Subscriber) -> dict[str, Any]:
    """Return everything held on a person in every domain, instants as ISO 8601 in UTC."""
    return (
        subscriber_data.export(subscriber)
        | sending_data.export(subscriber)
        | tracking_data.export(subscriber)
    )


def take_copy(token: str, *, now: datetime) -> dict[str, Any]:
    """Use a link up and return the copy; raise LinkInvalid or FreshLinkExpired.

    Commits what was fetched and is not in the tables yet, so that the copy has it too.
    """
    find_link(token, LinkPurpose.COPY, now=now)
    db.session.rollback()
    load_spool()
    link, subscriber = use_link(token, LinkPurpose.COPY, now=now)
    audit.record("own data copied", actor="person", now=now, object=f"subscriber:{link.subscriber_id}")
    return {"copied_at": now.isoformat()} | collect(subscriber)


def erase_oneself(token: str, *, now: datetime) -> None:
    """Use a link up and erase its person at once; raise LinkInvalid or FreshLinkExpired.

    Commits as it goes. Killed half-way, the person is still here and can ask for another link.
    """
    _link, subscriber = use_link(token, LinkPurpose.ERASURE, now=now)
    address = subscriber.address
    db.session.commit()
    erase_person(address, now=now, actor="person")
