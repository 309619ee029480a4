"""Who goes in a purge, who is passed over and why: one condition for the dry run and the real one."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from newsletter.campaigns.models import Campaign, Edition
from newsletter.config import settings
from newsletter.db import db
from newsletter.privacy.deadlines import months_before, start_of_year
from newsletter.privacy.models import Hold, RightsRequest
from newsletter.sending.models import Delivery
from newsletter.stats.rollups.ingest import load_spool
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

#: What ends a subscription for the purge without the person having said so (RP-2).
UNREACHABLE = (SuppressionReason.BOUNCED, SuppressionReason.COMPLAINED)


def who_left(before: datetime) -> sa.ColumnElement[bool]:
    """Tell whom the purge takes: gone, and neither restricted (GDPR art. 18) nor held."""
    return sa.and_(has_gone(before), Subscriber.restricted_at.is_(None), ~_is_held())


def has_gone(before: datetime) -> sa.ColumnElement[bool]:
    """Tell who ended every subscription, bounced for good or complained, and has not come back since."""
    living = sa.exists().where(
        Subscription.subscriber_id == Subscriber.id,
        sa.or_(
            Subscription.status != SubscriptionStatus.UNSUBSCRIBED,
            Subscription.unsubscribed_at >= before,
        ),
    )
    unreachable = sa.exists().where(
        Suppression.address_hash == Subscriber.address_hash,
        Suppression.reason.in_(UNREACHABLE),
        Suppression.created_at < before,
    )
    coming_back = sa.exists().where(
        Signup.subscriber_id == Subscriber.id, Signup.confirmed_at.is_(None), Signup.expires_at > before
    )
    return sa.and_(sa.or_(~living, unreachable), ~coming_back, Subscriber.created_at < before)


def left_out(before: datetime) -> dict[str, int]:
    """Count those who have gone and stay all the same, by reason; one who is both counts as restricted."""
    restricted = Subscriber.restricted_at.is_not(None)
    gone = has_gone(before)
    return {
        "restricted": _count(Subscriber, gone, restricted),
        "held": _count(Subscriber, gone, ~restricted, _is_held()),
    }


def old_campaigns(started_at: datetime) -> sa.Select[Any]:
    """Return the campaigns of past years, whose readers are forgotten."""
    return sa.select(Campaign.id).where(Campaign.started_at < start_of_year(started_at)).order_by(Campaign.id)


def over_proofs(started_at: datetime) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """Return which facts of the ledger and which requests have come to the end of their time."""
    years = settings().keep_proof_years
    oldest = start_of_year(months_before(started_at, 12 * years))
    nobodys = sa.and_(Consent.subscriber_id.is_(None), Consent.keep_until.is_(None), Consent.at < oldest)
    return (
        sa.or_(Consent.keep_until <= started_at, nobodys),
        sa.and_(RightsRequest.decided_at.is_not(None), RightsRequest.decided_at < oldest),
    )


def preview(now: datetime) -> dict[str, Any]:
    """Return what the purge would delete now, by the same rules, deleting nothing."""
    load_spool()
    people = sa.select(Subscriber.id).where(who_left(now))
    editions = sa.select(Edition.id).where(Edition.campaign_id.in_(old_campaigns(now).order_by(None)))
    proofs, requests = over_proofs(now)
    return {
        "people": _count(Subscriber, who_left(now)),
        "subscriptions": _count(Subscription, Subscription.subscriber_id.in_(people)),
        "deliveries": _count(Delivery, Delivery.subscriber_id.in_(people)),
        "events": _count(Event, sa.or_(Event.at < start_of_year(now), Event.subscriber_id.in_(people))),
        "link_readers": _count(
            LinkReader, sa.or_(LinkReader.edition_id.in_(editions), LinkReader.subscriber_id.in_(people))
        ),
        "proofs": _count(Consent, proofs),
        "requests": _count(RightsRequest, requests),
    }


def _is_held() -> sa.ColumnElement[bool]:
    return sa.exists().where(Hold.subscriber_id == Subscriber.id, Hold.ended_at.is_(None))


def _count(table: type[Any], *those: sa.ColumnElement[bool]) -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(table).where(*those)) or 0
