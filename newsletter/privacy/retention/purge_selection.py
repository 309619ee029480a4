"""Selection for the purge: who is deleted, who is left out and why. Dry run and real run share it."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from newsletter.campaigns.models import Campaign, Edition
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.privacy.deadlines import months_before, start_of_year
from newsletter.privacy.models import Hold, RightsRequest
from newsletter.sending.models import Delivery
from newsletter.stats.rollups.ingest import load_local_logs
from newsletter.subscribers.models import (
    Consent,
    Signup,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    Suppression,
    SuppressionReason,
)
from newsletter.tracking.models import Event, LinkReader

#: Suppressions that count as having left without the person having unsubscribed (RP-2).
UNREACHABLE_REASONS = (SuppressionReason.BOUNCED, SuppressionReason.COMPLAINED)


def purge_condition(before: datetime) -> sa.ColumnElement[bool]:
    """SQL condition for the purge: has left, and neither restricted (GDPR art. 18) nor on hold."""
    return sa.and_(has_left_condition(before), Subscriber.restricted_at.is_(None), ~_hold_condition())


def has_left_condition(before: datetime) -> sa.ColumnElement[bool]:
    """SQL condition: unsubscribed from every list, hard bounced or complained, and not come back since."""
    living = sa.exists().where(
        Subscription.subscriber_id == Subscriber.id,
        sa.or_(
            Subscription.status != SubscriptionStatus.UNSUBSCRIBED,
            Subscription.unsubscribed_at >= before,
        ),
    )
    unreachable = sa.exists().where(
        Suppression.address_hash == Subscriber.address_hash,
        Suppression.reason.in_(UNREACHABLE_REASONS),
        Suppression.created_at < before,
    )
    coming_back = sa.exists().where(
        Signup.subscriber_id == Subscriber.id, Signup.confirmed_at.is_(None), Signup.expires_at > before
    )
    return sa.and_(sa.or_(~living, unreachable), ~coming_back, Subscriber.created_at < before)


def count_left_out(before: datetime) -> dict[str, int]:
    """Count those who left and are not deleted, by reason; one who is both counts as restricted."""
    restricted = Subscriber.restricted_at.is_not(None)
    gone = has_left_condition(before)
    return {
        "restricted": _count(Subscriber, gone, restricted),
        "held": _count(Subscriber, gone, ~restricted, _hold_condition()),
    }


def past_campaigns(started_at: datetime) -> sa.Select[Any]:
    """Return the campaigns of past years, whose unique readers are deleted."""
    return sa.select(Campaign.id).where(Campaign.started_at < start_of_year(started_at)).order_by(Campaign.id)


def expired_proof_conditions(started_at: datetime) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """SQL conditions for consents and for requests whose retention is over."""
    years = current_settings().keep_proof_years
    oldest = start_of_year(months_before(started_at, 12 * years))
    nobodys = sa.and_(Consent.subscriber_id.is_(None), Consent.keep_until.is_(None), Consent.at < oldest)
    return (
        sa.or_(Consent.keep_until <= started_at, nobodys),
        sa.and_(RightsRequest.decided_at.is_not(None), RightsRequest.decided_at < oldest),
    )


def preview_purge(now: datetime) -> dict[str, Any]:
    """Return what the purge would delete now, by the same rules, deleting nothing."""
    load_local_logs()
    people = sa.select(Subscriber.id).where(purge_condition(now))
    editions = sa.select(Edition.id).where(Edition.campaign_id.in_(past_campaigns(now).order_by(None)))
    proofs, requests = expired_proof_conditions(now)
    return {
        "people": _count(Subscriber, purge_condition(now)),
        "subscriptions": _count(Subscription, Subscription.subscriber_id.in_(people)),
        "deliveries": _count(Delivery, Delivery.subscriber_id.in_(people)),
        "events": _count(Event, sa.or_(Event.at < start_of_year(now), Event.subscriber_id.in_(people))),
        "link_readers": _count(
            LinkReader, sa.or_(LinkReader.edition_id.in_(editions), LinkReader.subscriber_id.in_(people))
        ),
        "proofs": _count(Consent, proofs),
        "requests": _count(RightsRequest, requests),
    }


def _hold_condition() -> sa.ColumnElement[bool]:
    return sa.exists().where(Hold.subscriber_id == Subscriber.id, Hold.ended_at.is_(None))


def _count(table: type[Any], *those: sa.ColumnElement[bool]) -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(table).where(*those)) or 0
