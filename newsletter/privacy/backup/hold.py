"""What a restored database must not send: mail to outdated addresses, campaigns that may have gone out.

The journal holds an address only as a keyed hash, so it tells that somebody has another one, not which.
The outdated address is suppressed, and a rectification request waits for staff to find out the new one.
"""

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from newsletter.campaigns.models import Campaign, CampaignStatus, HeldReason
from newsletter.config import current_settings
from newsletter.db import db, execute_dml
from newsletter.durable import restore_journal
from newsletter.durable.restore_journal import JournalEntry
from newsletter.errors import N_
from newsletter.ledger import audit
from newsletter.mail.models import MailStatus, OutboxMail
from newsletter.privacy.models import RequestKind
from newsletter.privacy.requests import register
from newsletter.sending.lifecycle import control
from newsletter.subscribers.addresses import suppression_key_id
from newsletter.subscribers.models import Subscriber, SuppressionReason
from newsletter.subscribers.one_time_links import revoke_links
from newsletter.subscribers.suppressions import store_suppression
from newsletter.web.i18n import force_language, format_date, translate

_REQUEST_DETAILS = N_(
    "The restored backup has the address from before %(date)s; the person has changed it since. Nothing is"
    " sent to it. Find out the new one, for instance from their mails to you, and put it right here: a link"
    " goes there. If the address is right after all, lift its block."
)


def hold_changed_addresses(lines: Iterable[JournalEntry], now: datetime) -> int:
    """Suppress the addresses that people have changed since the backup; return how many. Commits."""
    told = list(lines)
    lifted = {line.hash: line.at for line in told if line.act == restore_journal.LIFTED}
    last = {(line.id, line.since): line for line in told if line.act == restore_journal.MOVED}
    held = 0
    for (number, since), line in last.items():
        person = db.session.get(Subscriber, number)
        if person is None or person.created_at != since or person.address_hash == line.told.get("to"):
            continue
        freed_at = lifted.get(person.address_hash)
        if freed_at is None or freed_at <= line.at:
            held += _hold_address(person, line, now)
    db.session.commit()
    return held


def hold_campaigns(now: datetime) -> dict[str, int]:
    """Pause campaigns in sending and hold overdue schedules: they may have gone out already. Commits."""
    running = sa.select(Campaign.id).where(Campaign.status == CampaignStatus.SENDING).order_by(Campaign.id)
    paused = [control.pause(number, now=now, actor="system") for number in db.session.scalars(running).all()]
    due = sa.select(Campaign).where(
        Campaign.status == CampaignStatus.SCHEDULED,
        Campaign.held_reason.is_(None),
        Campaign.scheduled_at <= now,
    )
    held = db.session.scalars(due.order_by(Campaign.id)).unique().all()
    for campaign in held:
        campaign.held_reason = HeldReason.LATE
        audit.record(
            "schedule held", actor="system", now=now, object=f"campaign:{campaign.id}", reason="late"
        )
    db.session.commit()
    return {"campaigns_paused": len(paused), "schedules_held": len(held)}


def _hold_address(person: Subscriber, line: JournalEntry, now: datetime) -> bool:
    if not store_suppression(person.address_hash, suppression_key_id(), SuppressionReason.MOVED, line.at):
        return False
    revoke_links(person)
    waiting = sa.update(OutboxMail).where(
        OutboxMail.subscriber_id == person.id, OutboxMail.status == MailStatus.QUEUED
    )
    execute_dml(waiting.values(status=MailStatus.FAILED, address=None, context=None))
    tongue = current_settings().languages[0]
    with force_language(tongue):
        words = translate(_REQUEST_DETAILS, {"date": format_date(line.at)})
    register.record_request(
        RequestKind.RECTIFICATION,
        person.address,
        channel=register.RESTORED_CHANNEL,
        language=person.language,
        now=now,
        actor="system",
        details=words,
    )
    return True
