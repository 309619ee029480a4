"""The start of a campaign: compile its editions and enqueue a delivery for every recipient."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.campaigns.drafts import get_campaign, get_campaign_lists
from newsletter.campaigns.models import Campaign, CampaignStatus
from newsletter.db import execute_dml
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.sending.lifecycle.audience import is_recipient
from newsletter.sending.lifecycle.preflight import require_content, require_deliverability, require_sender
from newsletter.sending.lifecycle.send_window import spread_deliveries
from newsletter.sending.message.personalize import compile_edition
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.subscribers.models import Subscriber, Subscription
from newsletter.wakeups import wake_after_commit


class NotADraft(NewsletterError):
    """It is on its way, or has been."""

    message = N_("Campaign %(id)s is %(status)s: only a draft can be sent.")


class AudienceEmpty(NewsletterError):
    """There is nobody to send it to."""

    message = N_("There are no confirmed subscribers on the lists of campaign %(id)s, so nothing was sent.")


def start_campaign(campaign_id: int, *, now: datetime, actor: str) -> Campaign:
    """Begin sending a draft, in the caller's transaction; the workers take it from there.

    Raises UnknownCampaign, NotADraft, SenderIncomplete, ChecksFailed, StandingLow or
    AudienceEmpty; the caller
    then rolls back, so that nothing has changed.
    """
    campaign = get_campaign(campaign_id, lock=True)
    if campaign.status is not CampaignStatus.DRAFT:
        raise NotADraft(id=campaign.id, status=campaign.status.value)
    begin_sending(campaign, now=now, actor=actor)
    return campaign


def begin_sending(campaign: Campaign, *, now: datetime, actor: str) -> None:
    """Begin sending a locked campaign; raises as ``start_campaign``. The caller commits."""
    require_sender()
    require_content(campaign)
    require_deliverability(campaign, now)
    slugs = {mailing_list.id: mailing_list.slug for mailing_list in get_campaign_lists(campaign)}
    for edition in campaign.editions:
        compile_edition(edition)
    recipients = _enqueue_deliveries(campaign, list(slugs))
    if not recipients:
        raise AudienceEmpty(id=campaign.id)
    if campaign.spread_minutes:
        spread_deliveries(campaign.id, timedelta(minutes=campaign.spread_minutes), now)
    campaign.totals.recipients = recipients
    campaign.status, campaign.started_at = CampaignStatus.SENDING, now
    campaign.held_reason = None
    audit.record(
        "campaign sent",
        actor=actor,
        now=now,
        object=f"campaign:{campaign.id}",
        recipients=recipients,
    )
    wake_after_commit("campaigns")


def _enqueue_deliveries(campaign: Campaign, list_ids: list[int]) -> int:
    """Insert one delivery for each person, of the edition in their language or else the first."""
    first = campaign.editions[0]
    edition_of = sa.case(
        {edition.language: edition.id for edition in campaign.editions},
        value=Subscriber.language,
        else_=first.id,
    )
    audience = (
        sa.select(
            sa.literal(campaign.id),
            Subscriber.id,
            edition_of,
            # On several of the lists: one mail, on behalf of the oldest.
            sa.func.min(Subscription.list_id),
            sa.literal(DeliveryStatus.QUEUED.value),
            sa.literal(0),
            sa.false(),
        )
        .join(Subscription, Subscription.subscriber_id == Subscriber.id)
        .where(is_recipient(list_ids))
        .group_by(Subscriber.id)
    )
    columns = [
        "campaign_id",
        "subscriber_id",
        "edition_id",
        "list_id",
        "status",
        "attempts",
        "is_measured",
    ]
    return execute_dml(sa.insert(Delivery).from_select(columns, audience, include_defaults=False))
