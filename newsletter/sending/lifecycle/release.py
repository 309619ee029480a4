"""Release of a campaign: send now or schedule, approval by a second person, start of due schedules."""

import logging
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.campaigns.drafts import get_campaign
from newsletter.campaigns.models import Campaign, CampaignStatus, HeldReason
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.sending.lifecycle.audience import audience_of
from newsletter.sending.lifecycle.preflight import (
    override_deliverability,
    require_content,
    require_deliverability,
    require_sender,
)
from newsletter.sending.lifecycle.start import AudienceEmpty, NotADraft, begin_sending

log = logging.getLogger(__name__)

#: A schedule found later than this (after downtime, in a restored backup) is held for a decision.
MAX_LATENESS = timedelta(hours=2)


class CountDiffers(NewsletterError):
    """The number typed is not the number of recipients."""

    message = N_("The campaign would reach %(count)s recipients. Type exactly that number.")


class SecondPersonNeeded(NewsletterError):
    """One asks, another agrees."""

    message = N_("Another person has to agree: you asked for this campaign to be sent yourself.")


class SchedulePast(NewsletterError):
    """That moment is over."""

    message = N_("That time has passed. Choose one that is still to come.")


class NotScheduled(NewsletterError):
    """There is no schedule to take it off."""

    message = N_("Campaign %(id)s is %(status)s, not scheduled.")


def release_campaign(
    campaign_id: int,
    *,
    at: datetime | None,
    now: datetime,
    actor: str,
    typed: int | None = None,
    over: timedelta | None = None,
    despite: bool = False,
) -> Campaign:
    """Send or schedule a draft, or a held schedule, in the caller's transaction.

    ``typed`` is the number of recipients as a person typed it; None where no person did (a script).
    ``over`` spreads the deliveries over that time. ``despite``: an administrator overrides failed
    deliverability checks. With SECOND_PERSON the first call only proposes; a call by another person
    approves what was proposed.
    Raises NotADraft, CountDiffers, SchedulePast, SecondPersonNeeded, or what ``start_campaign`` raises.
    """
    campaign = get_campaign(campaign_id, lock=True)
    if campaign.status is not CampaignStatus.DRAFT and campaign.held_reason is None:
        raise NotADraft(id=campaign.id, status=campaign.status.value)
    require_sender()
    require_content(campaign)
    _require_audience(campaign, typed)
    if despite:
        override_deliverability(campaign, now=now, actor=actor)
    require_deliverability(campaign, now)
    if campaign.proposed_by is None:
        campaign.spread_minutes = round(over.total_seconds() / 60) if over else None
    if current_settings().second_person and campaign.proposed_by is None:
        return _propose(campaign, at=at, now=now, actor=actor)
    if current_settings().second_person:
        at = _approved_time(campaign, at, actor=actor)
    if at is None:
        begin_sending(campaign, now=now, actor=actor)
    else:
        _schedule(campaign, at=at, now=now, actor=actor)
    return campaign


def withdraw(campaign_id: int, *, now: datetime, actor: str) -> Campaign:
    """Make a scheduled or asked-for campaign a draft again; raise NotScheduled."""
    campaign = get_campaign(campaign_id, lock=True)
    is_proposed = campaign.status is CampaignStatus.DRAFT and campaign.proposed_by
    if campaign.status is not CampaignStatus.SCHEDULED and not is_proposed:
        raise NotScheduled(id=campaign.id, status=campaign.status.value)
    campaign.status = CampaignStatus.DRAFT
    campaign.scheduled_at = campaign.held_reason = campaign.proposed_by = None
    campaign.overridden_by = campaign.spread_minutes = None
    audit.record("campaign made a draft again", actor=actor, now=now, object=f"campaign:{campaign.id}")
    return campaign


def start_due(now: datetime) -> int:
    """Start every campaign whose time has come and return how many. Commits after each.

    One found too late, or that cannot be sent as it is, stays scheduled and waits for a person.
    """
    due = sa.select(Campaign.id).where(
        Campaign.status == CampaignStatus.SCHEDULED,
        Campaign.held_reason.is_(None),
        Campaign.scheduled_at <= now,
    )
    campaign_ids = db.session.scalars(due.order_by(Campaign.scheduled_at, Campaign.id)).all()
    db.session.rollback()
    return sum(_start_or_hold(campaign_id, now) for campaign_id in campaign_ids)


def _start_or_hold(campaign_id: int, now: datetime) -> bool:
    campaign = get_campaign(campaign_id, lock=True)
    if campaign.status is not CampaignStatus.SCHEDULED or campaign.held_reason or not campaign.scheduled_at:
        db.session.rollback()  # another worker was here first
        return False
    if now - campaign.scheduled_at > MAX_LATENESS:
        _hold(campaign, HeldReason.LATE, now)
        return False
    try:
        with db.session.begin_nested():
            begin_sending(campaign, now=now, actor="system")
    except NewsletterError:
        _hold(campaign, HeldReason.REFUSED, now)
        return False
    db.session.commit()
    return True


def _hold(campaign: Campaign, reason: HeldReason, now: datetime) -> None:
    campaign.held_reason = reason
    log.warning("schedule held", extra={"campaign_id": campaign.id, "reason": reason.value})
    audit.record(
        "schedule held", actor="system", now=now, object=f"campaign:{campaign.id}", reason=reason.value
    )
    db.session.commit()


def _require_audience(campaign: Campaign, typed: int | None) -> None:
    recipients = audience_of(campaign).recipients
    if not recipients:
        raise AudienceEmpty(id=campaign.id)
    if typed is not None and typed != recipients:
        raise CountDiffers(count=recipients)


def _propose(campaign: Campaign, *, at: datetime | None, now: datetime, actor: str) -> Campaign:
    if at is not None and at <= now:
        raise SchedulePast
    campaign.proposed_by, campaign.scheduled_at = actor, at
    campaign.status, campaign.held_reason = CampaignStatus.DRAFT, None
    audit.record("campaign proposed", actor=actor, now=now, object=f"campaign:{campaign.id}")
    return campaign


def _approved_time(campaign: Campaign, at: datetime | None, *, actor: str) -> datetime | None:
    """Return when to send: what was proposed, or for a held schedule what this person chooses now."""
    # A program may ask, but it is nobody who could agree.
    if campaign.proposed_by == actor or actor.startswith("token:"):
        raise SecondPersonNeeded
    return campaign.scheduled_at if campaign.status is CampaignStatus.DRAFT else at


def _schedule(campaign: Campaign, *, at: datetime, now: datetime, actor: str) -> None:
    if at <= now:
        raise SchedulePast
    campaign.status, campaign.scheduled_at = CampaignStatus.SCHEDULED, at
    campaign.held_reason = None
    audit.record(
        "campaign scheduled",
        actor=actor,
        now=now,
        object=f"campaign:{campaign.id}",
        scheduled_at=at.isoformat(),
    )
