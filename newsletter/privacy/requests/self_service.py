"""A person's own copy of everything held on them, their own erasure, and who hears of a new address.

Whoever reads the mailbox is the person: no signature, no copy of a document.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from newsletter.db import db
from newsletter.ledger import audit
from newsletter.privacy.everyone import collect, is_held
from newsletter.privacy.models import RequestKind, RequestStatus, RightsRequest
from newsletter.privacy.requests import register
from newsletter.privacy.requests.recipients import has_recipients, tell_others
from newsletter.privacy.requests.rectification import address_change
from newsletter.privacy.retention.erasure import PersonHeld, erase_person
from newsletter.stats.rollups.ingest import load_spool
from newsletter.subscribers.models import LinkPurpose, Subscriber
from newsletter.subscribers.one_time_links import find_link, use_link
from newsletter.subscribers.self_service.change_address import address_changed


def take_copy(token: str, *, now: datetime) -> dict[str, Any]:
    """Use a link up and return the copy; raise LinkInvalid or FreshLinkExpired.

    Commits what was fetched and is not in the tables yet, so that the copy has it too.
    """
    find_link(token, LinkPurpose.COPY, now=now)
    db.session.rollback()
    load_spool()
    link, subscriber = use_link(token, LinkPurpose.COPY, now=now)
    _register(RequestKind.ACCESS, subscriber, now)
    audit.record("own data copied", actor="person", now=now, object=f"subscriber:{link.subscriber_id}")
    return {"copied_at": now.isoformat()} | collect(subscriber)


def erase_oneself(token: str, *, now: datetime) -> None:
    """Use a link up and erase its person at once; raise LinkInvalid, FreshLinkExpired or PersonHeld.

    Commits as it goes. Killed half-way, the person is still here and can ask for another link.
    """
    _link, subscriber = use_link(token, LinkPurpose.ERASURE, now=now)
    if is_held(subscriber.id):
        raise PersonHeld
    address = subscriber.address
    tell_others(_register(RequestKind.ERASURE, subscriber, now), subscriber, now=now)
    db.session.commit()
    erase_person(address, now=now, actor="person")


def listen() -> None:
    """Hear of changes that people make themselves, so that whoever received their data is told."""
    address_changed.connect(_tell_of_change)


def _tell_of_change(
    _sender: object, *, subscriber: Subscriber, old: str, link_id: int, now: datetime
) -> None:
    request = db.session.scalar(sa.select(RightsRequest).where(RightsRequest.address_link_id == link_id))
    if request is not None:
        request.address_confirmed_at = now
    elif has_recipients(subscriber):
        request = _register(RequestKind.RECTIFICATION, subscriber, now)
    if request is not None:
        tell_others(request, subscriber, now=now, changes=[address_change(subscriber.address, old)])


def _register(kind: RequestKind, subscriber: Subscriber, now: datetime) -> RightsRequest:
    """Enter what the person did on their own pages, as carried out at once."""
    request = register.receive(
        kind,
        subscriber.address,
        channel="own_page",
        language=subscriber.language,
        now=now,
        actor="person",
    )
    register.close(request, RequestStatus.DONE, now=now, actor="person", reply_by="page")
    return request
