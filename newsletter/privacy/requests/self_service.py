"""Self-service by one-time link: export of one's own data, own erasure, and who is told of a new address.

Whoever controls the mailbox is the person: no signature, no copy of an ID.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from newsletter.db import db
from newsletter.ledger import audit
from newsletter.privacy.everyone import collect_personal_data, is_on_hold
from newsletter.privacy.models import RequestKind, RequestStatus, RightsRequest
from newsletter.privacy.requests import register
from newsletter.privacy.requests.recipients import has_recipients, notify_recipients
from newsletter.privacy.requests.rectification import describe_address_change
from newsletter.privacy.retention.erasure import PersonOnHold, erase_person
from newsletter.stats.rollups.ingest import load_local_logs
from newsletter.subscribers.models import LinkPurpose, Subscriber
from newsletter.subscribers.one_time_links import find_link, use_link
from newsletter.subscribers.self_service.change_address import address_changed


def export_own_data(token: str, *, now: datetime) -> dict[str, Any]:
    """Use up a one-time link and return the data export; raise LinkInvalid or FreshLinkExpired.

    Loads this machine's logs first, which commits; the caller commits the rest.
    """
    find_link(token, LinkPurpose.COPY, now=now)
    db.session.rollback()
    load_local_logs()
    link, subscriber = use_link(token, LinkPurpose.COPY, now=now)
    _record_fulfilled(RequestKind.ACCESS, subscriber, now)
    audit.record("own data copied", actor="person", now=now, object=f"subscriber:{link.subscriber_id}")
    return {"copied_at": now.isoformat()} | collect_personal_data(subscriber)


def erase_own_data(token: str, *, now: datetime) -> None:
    """Use up a link and erase its person at once; raise LinkInvalid, FreshLinkExpired or PersonOnHold.

    Commits as it goes. Killed half-way, the person is still here and can ask for another link.
    """
    _link, subscriber = use_link(token, LinkPurpose.ERASURE, now=now)
    if is_on_hold(subscriber.id):
        raise PersonOnHold
    address = subscriber.address
    notify_recipients(_record_fulfilled(RequestKind.ERASURE, subscriber, now), subscriber, now=now)
    db.session.commit()
    erase_person(address, now=now, actor="person")


def connect_signals() -> None:
    """Notify recipients when a person changes their own address."""
    address_changed.connect(_notify_address_change)


def _notify_address_change(
    _sender: object, *, subscriber: Subscriber, old: str, link_id: int, now: datetime
) -> None:
    request = db.session.scalar(sa.select(RightsRequest).where(RightsRequest.address_link_id == link_id))
    if request is not None:
        request.address_confirmed_at = now
    elif has_recipients(subscriber):
        request = _record_fulfilled(RequestKind.RECTIFICATION, subscriber, now)
    if request is not None:
        notify_recipients(
            request, subscriber, now=now, changes=[describe_address_change(subscriber.address, old)]
        )


def _record_fulfilled(kind: RequestKind, subscriber: Subscriber, now: datetime) -> RightsRequest:
    """Record what the person did on their own pages as a fulfilled request."""
    request = register.record_request(
        kind,
        subscriber.address,
        channel="own_page",
        language=subscriber.language,
        now=now,
        actor="person",
    )
    register.close_request(request, RequestStatus.DONE, now=now, actor="person", reply_by="page")
    return request
