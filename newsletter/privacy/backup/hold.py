"""What must not go out of a restored copy: mail to an address left since, newsletters that may have gone.

The journal knows an address by its keyed hash alone, so it can tell that somebody has another one, and
not which. Their old one is blocked, and a line in the register waits for somebody to put it right.
"""

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from newsletter.campaigns.models import Campaign, CampaignStatus, HeldReason
from newsletter.config import settings
from newsletter.db import change, db
from newsletter.durable import restore_journal
from newsletter.durable.restore_journal import Line
from newsletter.errors import N_
from newsletter.ledger import audit
from newsletter.mail.models import MailStatus, OutboxMail
from newsletter.privacy.models import RequestKind
from newsletter.privacy.requests import register
from newsletter.sending.lifecycle import control
from newsletter.subscribers.addresses import suppression_key_id
from newsletter.subscribers.models import Subscriber, SuppressionReason
from newsletter.subscribers.one_time_links import withdraw_links
from newsletter.subscribers.suppressions import store_suppression
from newsletter.web.i18n import format_date, speaking, translate

_WORDS = N_(
    "The restored backup has the address from before %(date)s; the person has changed it since. Nothing is"
    " sent to it. Find out the new one, for instance from their mails to you, and put it right here: a link"
    " goes there. If the address is right after all, lift its block."
)


def hold_moved(lines: Iterable[Line], now: datetime) -> int:
    """Send nothing more to the addresses that people have left since; return how many. Commits."""
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
            held += _hold(person, line, now)
    db.session.commit()
    return held


def stop_campaigns(now: datetime) -> dict[str, int]:
    """Pause what was being sent, and hold what was to be sent by now: it may have gone already. Commits."""
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


def _hold(person: Subscriber, line: Line, now: datetime) -> bool:
    if not store_suppression(person.address_hash, suppression_key_id(), SuppressionReason.MOVED, line.at):
        return False
    withdraw_links(person)
    waiting = sa.update(OutboxMail).where(
        OutboxMail.subscriber_id == person.id, OutboxMail.status == MailStatus.QUEUED
    )
    change(waiting.values(status=MailStatus.FAILED, address=None, context=None))
    tongue = settings().languages[0]
    with speaking(tongue):
        words = translate(_WORDS, {"date": format_date(line.at)})
    register.receive(
        RequestKind.RECTIFICATION,
        person.address,
        channel=register.RESTORED,
        language=person.language,
        now=now,
        actor="system",
        details=words,
    )
    return True
