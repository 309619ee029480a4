"""A person's own copy of everything held on them, and their own erasure, by a fresh link.

Whoever reads the mailbox is the person: no signature, no copy of a document.
"""

from datetime import datetime
from typing import Any

from newsletter import audit
from newsletter.db import db
from newsletter.privacy.erasure import erase_person
from newsletter.privacy.people import collect
from newsletter.stats.rollups import load_spool
from newsletter.subscribers.fresh_links import find_link, use_link
from newsletter.subscribers.models import LinkPurpose


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
