"""``/api/v1/subscribers``: subscribers, their subscriptions, and the proof of their consent.

Every read of a person is written to the audit log.
"""

from typing import Any

import sqlalchemy as sa
from flask import request

from newsletter.api.auth import actor, current_token, needs_scope, require_lists
from newsletter.api.resource import documents_problems, make_resource, require_if_match
from newsletter.api.schemas import (
    MAX_ID,
    AddressIn,
    EndIn,
    ProofOut,
    SubscriberOut,
    SubscribersIn,
    SubscribersOut,
)
from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.ledger import audit
from newsletter.privacy.proof.consent import proof_as_dict, read_proof
from newsletter.subscribers.addresses import parse_address
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.consent.tracking import states_allowing_tracking
from newsletter.subscribers.lists import get_lists
from newsletter.subscribers.models import MailingList, Subscriber, Subscription
from newsletter.subscribers.objections import find_objections
from newsletter.subscribers.queries import UnknownSubscriber
from newsletter.subscribers.self_service.unsubscribe import unsubscribe_from
from newsletter.web.app import client_ip, user_agent, write_transaction

bp = make_resource("subscribers", "People, their subscriptions, and the proof of their consent.")


@bp.get("/subscribers")
@needs_scope("subscribers:read")
@documents_problems(bp, 404, 422)
@bp.arguments(SubscribersIn, location="query")
@bp.response(200, SubscribersOut)
@write_transaction
def show_subscribers(asked: dict[str, Any]) -> dict[str, Any]:
    """Show people, oldest first, all or those of one list."""
    if "list" in asked:
        require_lists([asked["list"]])
    found = _visible_subscribers().order_by(Subscriber.id).limit(asked["limit"] + 1)
    if "after" in asked:
        found = found.where(Subscriber.id > asked["after"])
    if "list" in asked:
        found = found.where(_on_lists([get_lists([asked["list"]])[0].slug]))
    rows = db.session.scalars(found).unique().all()
    shown = rows[: asked["limit"]]
    objections = find_objections([row.address_hash for row in shown])
    audit.record("subscribers listed", actor=actor(), now=utcnow(), count=len(shown))
    db.session.commit()
    return {
        "items": [_as_data(row, objections.get(row.address_hash, [])) for row in shown],
        "next": shown[-1].id if len(rows) > len(shown) else None,
    }


@bp.post("/subscribers/search")
@needs_scope("subscribers:read")
@documents_problems(bp, 400, 404, 413, 415, 422)
@bp.arguments(AddressIn)
@bp.response(200, SubscriberOut)
def find_subscriber(sent: dict[str, Any]) -> dict[str, Any]:
    """Find the person with an address, which then stands in no log of a proxy."""
    key = parse_address(sent["address"]).key
    found = db.session.scalar(_visible_subscribers().where(Subscriber.address_key == key))
    return _show_audited(found)


@bp.get("/subscribers/<int:subscriber_id>")
@needs_scope("subscribers:read")
@documents_problems(bp, 404)
@bp.response(200, SubscriberOut)
@write_transaction
def show_subscriber(subscriber_id: int) -> dict[str, Any]:
    """Show one person."""
    return _show_audited(_find(subscriber_id))


@bp.get("/subscribers/<int:subscriber_id>/proof")
@needs_scope("subscribers:read")
@documents_problems(bp, 404)
@bp.response(200, ProofOut)
@write_transaction
def show_proof(subscriber_id: int) -> dict[str, Any]:
    """Show what proves the consent of one person."""
    found = _require_found(_find(subscriber_id))
    proof = read_proof(found.address, actor=actor(), now=utcnow())
    db.session.commit()
    return proof_as_dict(proof)


@bp.post("/subscribers/<int:subscriber_id>/unsubscribe")
@needs_scope("subscribers:write")
@documents_problems(bp, 400, 404, 409, 412, 413, 415, 422)
@bp.arguments(EndIn)
@bp.response(200, SubscriberOut)
def end_subscriptions(sent: dict[str, Any], subscriber_id: int) -> dict[str, Any]:
    """End subscriptions of one person, at their wish. Done twice it changes nothing."""
    found = _require_found(_find(subscriber_id, lock=True))
    require_if_match(SubscriberOut(), _as_data_with_objections(found))
    slugs = sent["lists"] if sent["lists"] is not None else current_token().lists
    if slugs is not None:
        require_lists(slugs)
        list_ids = [mailing_list.id for mailing_list in get_lists(slugs)]
    else:
        list_ids = None
    unsubscribe_from(found, list_ids, now=utcnow(), method="staff", visit=_visit())
    db.session.commit()
    return _as_data_with_objections(found)


def _visible_subscribers() -> sa.Select[Subscriber]:
    allowed = current_token().lists
    statement = sa.select(Subscriber).options(sa.orm.selectinload(Subscriber.subscriptions))
    return statement if allowed is None else statement.where(_on_lists(allowed))


def _on_lists(slugs: list[str]) -> sa.ColumnElement[bool]:
    lists = sa.select(MailingList.id).where(MailingList.slug.in_(slugs))
    return (
        sa.exists()
        .where(Subscription.subscriber_id == Subscriber.id, Subscription.list_id.in_(lists))
        .correlate(Subscriber)
    )


def _find(subscriber_id: int, *, lock: bool = False) -> Subscriber | None:
    if subscriber_id > MAX_ID:
        return None
    statement = _visible_subscribers().where(Subscriber.id == subscriber_id)
    return db.session.scalar(statement.with_for_update(of=Subscriber) if lock else statement)


def _require_found(found: Subscriber | None) -> Subscriber:
    if found is None:
        raise UnknownSubscriber
    return found


def _show_audited(found: Subscriber | None) -> dict[str, Any]:
    person = _require_found(found)
    audit.record("subscriber shown", actor=actor(), now=utcnow(), object=f"subscriber:{person.id}")
    db.session.commit()
    return _as_data_with_objections(person)


def _visit() -> Visit:
    return Visit(ip=client_ip(), user_agent=user_agent(), form_url=request.base_url)


def _as_data_with_objections(person: Subscriber) -> dict[str, Any]:
    return _as_data(person, find_objections([person.address_hash]).get(person.address_hash, []))


def _as_data(person: Subscriber, objections: list[str]) -> dict[str, Any]:
    allowed = current_token().lists
    return {
        "id": person.id,
        "address": person.address,
        "language": person.language,
        "tracking": person.tracking.value,
        "is_measured": person.tracking in states_allowing_tracking(),
        "objections": objections,
        "is_restricted": person.restricted_at is not None,
        "created_at": person.created_at,
        "subscriptions": [
            {
                "list": row.mailing_list.slug,
                "status": row.status.value,
                "created_at": row.created_at,
                "confirmed_at": row.confirmed_at,
                "unsubscribed_at": row.unsubscribed_at,
            }
            for row in person.subscriptions
            if allowed is None or row.mailing_list.slug in allowed
        ],
    }
