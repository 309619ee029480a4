"""Reputation guard: pauses campaigns with too many complaints or bounces (SB-7).

Staff are warned before that. Each limit pauses a campaign once: who resumes it has decided.
"""

import enum
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from newsletter.bounces.models import Bounce, ReportKind
from newsletter.campaigns.models import Campaign, CampaignStatus, CampaignTotals
from newsletter.config import current_settings
from newsletter.db import db, execute_dml
from newsletter.ledger import audit
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.replies.models import Fault
from newsletter.mail.replies.rules import RULES
from newsletter.mail.smtp.transport import Reply
from newsletter.sending.worker.circuit_breaker import MAX_CONSECUTIVE_FAULTS, pause_campaign

log = logging.getLogger(__name__)

#: Staff are warned of bounces at this share of BOUNCE_STOP.
_WARN_SHARE = 0.5
#: What each row of the table says is wrong with us.
_FAULT_OF = {rule.key: rule.fault for rule in RULES if rule.fault is not None}
#: Campaigns that started earlier get no warning.
WARNING_WINDOW = timedelta(days=30)


class Limit(enum.Enum):
    """What is limited."""

    COMPLAINTS = "complaints"
    BOUNCES = "bounces"


@dataclass(frozen=True, slots=True)
class LimitFinding:
    """A campaign that is near a limit or exceeds it."""

    campaign_id: int
    limit: Limit
    number: int
    #: The denominator: accepted and failed deliveries, at least BOUNCE_FIRST.
    base: int
    is_exceeded: bool


def find_limit_findings(now: datetime) -> list[LimitFinding]:
    """Return the findings of all recent campaigns, newest first."""
    recent = sa.select(CampaignTotals).join(Campaign, Campaign.id == CampaignTotals.campaign_id)
    rows = db.session.scalars(
        recent.where(Campaign.started_at > now - WARNING_WINDOW).order_by(Campaign.id.desc())
    )
    return [found for totals in rows for found in check_totals(totals)]


def check_totals(totals: CampaignTotals) -> list[LimitFinding]:
    """Return the limits that a campaign is near or exceeds, by its totals."""
    chosen = current_settings()
    base = max(totals.accepted + totals.failed, chosen.bounce_first)
    # Rejected during SMTP or bounced later: both count as a bounce.
    bounced = totals.bounced + totals.failed
    measured = (
        (Limit.COMPLAINTS, totals.complained, chosen.complaint_warn, chosen.complaint_stop),
        (Limit.BOUNCES, bounced, chosen.bounce_stop * _WARN_SHARE, chosen.bounce_stop),
    )
    return [
        LimitFinding(totals.campaign_id, limit, number, base, is_exceeded=number / base >= stop)
        for limit, number, warn, stop in measured
        if number / base >= min(warn, stop)
    ]


def pause_if_needed(now: datetime, campaign_ids: Iterable[int] | None = None) -> list[int]:
    """Pause campaigns that exceed a limit, all or those given; return their ids. Commits."""
    running = sa.select(Campaign).where(Campaign.status == CampaignStatus.SENDING).order_by(Campaign.id)
    if campaign_ids is not None:
        running = running.where(Campaign.id.in_(list(campaign_ids)))
    found = db.session.scalars(running.execution_options(populate_existing=True)).unique().all()
    stopped = [campaign.id for campaign in found if _pause_if_exceeded(campaign, now)]
    db.session.commit()
    return stopped


def _pause_if_exceeded(campaign: Campaign, now: datetime) -> bool:
    for danger in check_totals(campaign.totals):
        if danger.is_exceeded and not _was_paused_for(campaign.id, danger.limit.value):
            return _pause(campaign.id, danger, now)
    reply = _last_rejection_of_us(campaign.totals)
    if reply is None or reply.fault is None or _was_paused_for(campaign.id, reply.fault.value):
        return False
    pause_campaign(campaign.id, reply, now)
    return True


def _was_paused_for(campaign_id: int, reason: str) -> bool:
    """Return whether the guard paused a campaign for this reason before: who resumed it has decided."""
    stops = sa.select(AuditEntry.details).where(
        AuditEntry.object == f"campaign:{campaign_id}",
        AuditEntry.action == "campaign paused",
        AuditEntry.actor == "breaker",
    )
    return any((details or {}).get("reason") == reason for details in db.session.scalars(stops))


def _pause(campaign_id: int, danger: LimitFinding, now: datetime) -> bool:
    is_sending = sa.and_(Campaign.id == campaign_id, Campaign.status == CampaignStatus.SENDING)
    values = {"status": CampaignStatus.PAUSED, "pause_reason": danger.limit.value, "pause_reply": None}
    if not execute_dml(sa.update(Campaign).where(is_sending).values(values)):
        return False
    facts: dict[str, Any] = {"reason": danger.limit.value, "count": danger.number, "base": danger.base}
    audit.record("campaign paused", actor="breaker", now=now, object=f"campaign:{campaign_id}", **facts)
    log.error("campaign paused", extra={"campaign_id": campaign_id, **facts})
    return True


def _last_rejection_of_us(totals: CampaignTotals) -> Reply | None:
    """Return what was said most often of those that were turned away because of us, once they are many.

    Many are so many in number, and such a part of all that were handed over: ten of ten thousand are
    the rules of ten companies, ten of a hundred are ours to mend.
    """
    those = sa.and_(Bounce.campaign_id == totals.campaign_id, Bounce.kind == ReportKind.OURS)
    number = sa.func.count()
    rows = db.session.execute(
        sa.select(Bounce.reason, number, sa.func.max(Bounce.id))
        .where(those)
        .group_by(Bounce.reason)
        .order_by(number.desc(), sa.func.max(Bounce.id).desc())
    ).all()
    total = sum(row[1] for row in rows)
    if total < MAX_CONSECUTIVE_FAULTS or total < current_settings().bounce_stop * (
        totals.accepted + totals.failed
    ):
        return None
    rule, _number, newest = rows[0]
    said = db.session.scalar(sa.select(Bounce.text).where(Bounce.id == newest)) or ""
    return Reply(550, said, fault=_FAULT_OF.get(rule or "", Fault.POLICY), rule=rule)
