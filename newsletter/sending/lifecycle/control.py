"""Pause, resume and cancel a campaign."""

from datetime import datetime

import sqlalchemy as sa

from newsletter.campaigns.drafts import get_campaign
from newsletter.campaigns.models import Campaign, CampaignStatus
from newsletter.db import execute_dml
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.worker.leasing import add_to_totals
from newsletter.wakeups import wake_after_commit


class CannotPause(NewsletterError):
    """Only what is on its way can be stopped for now."""

    message = N_("Campaign %(id)s is %(status)s, not being sent.")


class CannotResume(NewsletterError):
    """Only what was paused can go on."""

    message = N_("Campaign %(id)s is %(status)s, not paused.")


class CannotCancel(NewsletterError):
    """What has been sent cannot be taken back."""

    message = N_("Campaign %(id)s is %(status)s and cannot be cancelled.")


def pause(campaign_id: int, *, now: datetime, actor: str) -> Campaign:
    """Stop sending until ``resume``; mails in flight still go out."""
    campaign = _get_in_status(campaign_id, {CampaignStatus.SENDING}, CannotPause)
    campaign.status = CampaignStatus.PAUSED
    campaign.pause_reason = campaign.pause_reply = None  # an earlier pause had another reason
    audit.record("campaign paused", actor=actor, now=now, object=f"campaign:{campaign.id}")
    return campaign


def resume(campaign_id: int, *, now: datetime, actor: str) -> Campaign:
    """Resume a paused campaign."""
    campaign = _get_in_status(campaign_id, {CampaignStatus.PAUSED}, CannotResume)
    campaign.status = CampaignStatus.SENDING
    audit.record("campaign resumed", actor=actor, now=now, object=f"campaign:{campaign.id}")
    wake_after_commit("campaigns")
    return campaign


def cancel(campaign_id: int, *, now: datetime, actor: str) -> Campaign:
    """Cancel a campaign for good: deliveries not sent yet become ``skipped``."""
    stoppable = {CampaignStatus.SCHEDULED, CampaignStatus.SENDING, CampaignStatus.PAUSED}
    campaign = _get_in_status(campaign_id, stoppable, CannotCancel)
    campaign.status, campaign.finished_at, campaign.held_reason = CampaignStatus.CANCELLED, now, None
    waiting = (DeliveryStatus.QUEUED, DeliveryStatus.DEFERRED)
    skipped = execute_dml(
        sa.update(Delivery)
        .where(Delivery.campaign_id == campaign.id, Delivery.status.in_(waiting))
        .values(status=DeliveryStatus.SKIPPED, leased_by=None, leased_until=None, due_at=None)
    )
    add_to_totals(campaign.id, skipped=skipped)
    audit.record(
        "campaign cancelled", actor=actor, now=now, object=f"campaign:{campaign.id}", not_sent=skipped
    )
    return campaign


def _get_in_status(
    campaign_id: int, possible: set[CampaignStatus], refusal: type[NewsletterError]
) -> Campaign:
    campaign = get_campaign(campaign_id, lock=True)
    if campaign.status not in possible:
        raise refusal(id=campaign.id, status=campaign.status.value)
    return campaign
