"""Personal data of subscribers, subscriptions and consents: export and erasure."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from newsletter.db import db, execute_dml
from newsletter.db.batching import People
from newsletter.db.id_bitmap import in_people
from newsletter.mail.models import OutboxMail
from newsletter.subscribers.consent.tracking import states_allowing_tracking
from newsletter.subscribers.models import (
    Consent,
    ConsentKind,
    MailingList,
    OneTimeLink,
    Subscriber,
    Subscription,
    Wording,
)


def export(subscriber: Subscriber) -> dict[str, Any]:
    """Return all personal data of these tables on a person; instants as ISO 8601 in UTC."""
    consents = db.session.execute(
        sa.select(Consent, Wording.text, MailingList.name)
        .outerjoin(Wording, Wording.id == Consent.wording_id)
        .outerjoin(MailingList, MailingList.id == Consent.list_id)
        .where(Consent.subscriber_id == subscriber.id)
        .order_by(Consent.id)
    )
    changes = db.session.scalars(
        sa.select(OneTimeLink)
        .where(OneTimeLink.subscriber_id == subscriber.id, OneTimeLink.new_address.is_not(None))
        .order_by(OneTimeLink.id)
    )
    return {
        "address": subscriber.address,
        "language": subscriber.language,
        "tracking": subscriber.tracking.value,
        "is_measured": subscriber.tracking in states_allowing_tracking(),
        "tracking_chosen_at": _isoformat(subscriber.tracking_chosen_at),
        "restricted_at": _isoformat(subscriber.restricted_at),
        "since": subscriber.created_at.isoformat(),
        "address_changes": [
            {"new_address": link.new_address, "asked_at": link.created_at.isoformat()} for link in changes
        ],
        "subscriptions": [_export_subscription(subscription) for subscription in subscriber.subscriptions],
        "consents": [
            {
                "kind": consent.kind.value,
                "purpose": consent.purpose.value,
                "list": list_name,
                "wording": wording,
                "notice_version": consent.notice_version,
                "at": consent.at.isoformat(),
                "method": consent.method,
                "form_url": consent.form_url,
                "ip": consent.ip,
                "user_agent": consent.user_agent,
                "source": consent.source,
                "proof": consent.proof,
            }
            for consent, wording, list_name in consents
        ],
    }


def erase(people: People, *, keep_until: datetime | None) -> dict[str, int]:
    """Erase these people: rows, mails in the outbox, and the personal part of their consents.

    Returns the numbers of deleted rows by kind. Does not commit.

    With ``keep_until`` the ledger keeps, under the keyed hash of the address, what was confirmed and
    withdrawn when (RP-4); without it the hash is not kept either.
    """
    blank: dict[str, Any] = dict.fromkeys(("salt", "form_url", "ip", "user_agent", "source", "proof"))
    execute_dml(
        sa.update(Consent)
        .where(in_people(Consent.subscriber_id, people))
        .values(subscriber_id=None, **blank, **(_proof_values(keep_until) if keep_until else {}))
    )
    # A mail leased by a worker keeps its row; its content is blanked.
    execute_dml(
        sa.update(OutboxMail)
        .where(in_people(OutboxMail.subscriber_id, people))
        .values(address=None, context=None, subscriber_id=None)
    )
    subscriptions = execute_dml(sa.delete(Subscription).where(in_people(Subscription.subscriber_id, people)))
    gone = execute_dml(sa.delete(Subscriber).where(in_people(Subscriber.id, people)))
    return {"subscriptions": subscriptions, "people": gone}


def _proof_values(keep_until: datetime) -> dict[str, Any]:
    """Return the values that keep a row under the hash of its address; a mere request is no proof."""
    is_proof = Consent.kind != ConsentKind.ASKED
    address_hash = (
        sa.select(Subscriber.address_hash).where(Subscriber.id == Consent.subscriber_id).scalar_subquery()
    )
    return {
        "address_hash": sa.case((is_proof, address_hash), else_=Consent.address_hash),
        "keep_until": sa.case((is_proof, keep_until), else_=Consent.keep_until),
    }


def _isoformat(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _export_subscription(subscription: Subscription) -> dict[str, Any]:
    return {
        "list": subscription.mailing_list.slug,
        "status": subscription.status.value,
        "since": subscription.created_at.isoformat(),
        "confirmed_at": subscription.confirmed_at.isoformat() if subscription.confirmed_at else None,
        "unsubscribed_at": subscription.unsubscribed_at.isoformat() if subscription.unsubscribed_at else None,
    }
