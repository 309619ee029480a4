"""The worker's part: lease, mark, fill, hand over, record the answer.

Each connection is one thread with its own session. What is known of a delivery is committed
before and after it is handed over, so a crash leaves at most one in doubt for each connection.
"""

import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import sqlalchemy as sa
from flask import Flask, current_app

from newsletter.campaigns.drafts import lists_of
from newsletter.campaigns.models import Campaign, CampaignStatus, Edition
from newsletter.clock import utcnow
from newsletter.config import settings
from newsletter.db import change, db
from newsletter.leases import owner
from newsletter.mail.message import sender_address
from newsletter.mail.outbox import RETRY_AFTER
from newsletter.mail.transport import Reply, Transport, open_transport
from newsletter.sending.claim import (
    Claimed,
    count,
    lease_some,
    mark_sending,
    release,
    release_expired,
)
from newsletter.sending.editions import Filler
from newsletter.sending.models import PENDING, Delivery, DeliveryStatus

log = logging.getLogger(__name__)


class Pace:
    """Keeps all connections of this process together under MAIL_RATE messages a second."""

    def __init__(self, rate: int) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Wait for this message's turn."""
        if not self._gap:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._gap
        time.sleep(turn - now)


def deliver_due() -> int:
    """Work off every campaign that is being sent and return how many mails were accepted."""
    running = sa.select(Campaign.id).where(Campaign.status == CampaignStatus.SENDING).order_by(Campaign.id)
    campaign_ids = db.session.scalars(running).all()
    db.session.rollback()
    return sum(_deliver_campaign(campaign_id) for campaign_id in campaign_ids)


def sweep() -> None:
    """Settle what dead workers left behind, in every campaign on its way."""
    unfinished = sa.select(Campaign.id).where(
        Campaign.status.in_([CampaignStatus.SENDING, CampaignStatus.PAUSED, CampaignStatus.CANCELLED])
    )
    campaign_ids = db.session.scalars(unfinished).all()
    db.session.rollback()
    for campaign_id in campaign_ids:
        uncertain = release_expired(campaign_id, utcnow())
        if uncertain:
            log.warning("deliveries uncertain", extra={"campaign_id": campaign_id, "count": uncertain})


def _deliver_campaign(campaign_id: int) -> int:
    pace = Pace(settings().mail_rate)
    connections = settings().mail_connections
    if connections == 1:
        accepted = _work(campaign_id, pace)
    else:
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - Flask's documented way into threads
        with ThreadPoolExecutor(connections, thread_name_prefix="deliver") as pool:
            accepted = sum(pool.map(lambda _number: _work_in(app, campaign_id, pace), range(connections)))
    _finish(campaign_id, utcnow())
    return accepted


def _work_in(app: Flask, campaign_id: int, pace: Pace) -> int:
    with app.app_context():
        return _work(campaign_id, pace)


def _work(campaign_id: int, pace: Pace) -> int:
    """Send until nothing is due, the campaign is stopped, or the server is away."""
    accepted = 0
    fillers = Fillers(campaign_id)
    with open_transport() as transport:
        while _is_running(campaign_id) and (people := lease_some(campaign_id, utcnow())):
            for subscriber_id in people:
                pace.wait()
                claimed = mark_sending(campaign_id, subscriber_id, utcnow())
                if claimed is None:
                    continue
                reply = _hand_over(claimed, fillers, transport)
                _record(claimed, reply, utcnow())
                accepted += reply.is_accepted
                if reply.code == 0:
                    release(campaign_id, utcnow())
                    return accepted
    return accepted


class Fillers:
    """The fillers of a campaign's editions, made when first needed."""

    def __init__(self, campaign_id: int) -> None:
        self._campaign_id = campaign_id
        self._slugs: Mapping[int, str] = {}
        self._fillers: dict[int, Filler] = {}

    def get(self, edition_id: int) -> Filler:
        """Return the filler of an edition."""
        if edition_id not in self._fillers:
            edition = db.session.scalars(
                sa.select(Edition).where(Edition.id == edition_id).options(sa.orm.undefer(Edition.compiled))
            ).one()
            slugs = {item.id: item.slug for item in lists_of(edition.campaign)}
            self._fillers[edition_id] = Filler(edition, slugs, utcnow())
            db.session.rollback()
        return self._fillers[edition_id]


def _hand_over(claimed: Claimed, fillers: Fillers, transport: Transport) -> Reply:
    message = fillers.get(claimed.edition_id).fill(
        claimed.subscriber_id, claimed.address, claimed.list_id, is_measured=claimed.is_measured
    )
    return transport.send(sender_address(settings()), claimed.address, message)


def _record(claimed: Claimed, reply: Reply, now: datetime) -> None:
    """Record an answer and count it, once. Commits."""
    status = _status_of(reply, claimed.attempts)
    deferred = status is DeliveryStatus.DEFERRED
    answer = {
        "status": status,
        "due_at": now + RETRY_AFTER[claimed.attempts - 1] if deferred else None,
        "leased_by": None,
        "leased_until": None,
        "accepted_at": now if reply.is_accepted else None,
        "reply_code": reply.code or None,
    }
    this = sa.and_(
        Delivery.campaign_id == claimed.campaign_id,
        Delivery.subscriber_id == claimed.subscriber_id,
        Delivery.attempts == claimed.attempts,
    )
    held = sa.and_(Delivery.status == DeliveryStatus.SENDING, Delivery.leased_by == owner())
    # Our lease may have ended while the server thought, and the delivery been given up meanwhile.
    given_up = Delivery.status == DeliveryStatus.UNCERTAIN
    if change(sa.update(Delivery).where(this, held).values(answer)):
        late = 0
    elif change(sa.update(Delivery).where(this, given_up).values(answer)):
        late = 1
    else:
        db.session.rollback()
        log.warning("answer too late", extra={"campaign_id": claimed.campaign_id, "code": reply.code})
        return
    count(
        claimed.campaign_id,
        accepted=int(status is DeliveryStatus.ACCEPTED),
        measured=int(status is DeliveryStatus.ACCEPTED and claimed.is_measured),
        failed=int(status is DeliveryStatus.FAILED),
        uncertain=int(status is DeliveryStatus.UNCERTAIN) - late,
    )
    db.session.commit()


def _status_of(reply: Reply, attempts: int) -> DeliveryStatus:
    if reply.is_accepted:
        return DeliveryStatus.ACCEPTED
    if reply.is_uncertain:
        return DeliveryStatus.UNCERTAIN
    if reply.is_retryable and attempts <= len(RETRY_AFTER):
        return DeliveryStatus.DEFERRED
    return DeliveryStatus.FAILED


def _is_running(campaign_id: int) -> bool:
    status = db.session.scalar(sa.select(Campaign.status).where(Campaign.id == campaign_id))
    db.session.rollback()
    return status is CampaignStatus.SENDING


def _finish(campaign_id: int, now: datetime) -> None:
    """Call the campaign sent once no delivery is on its way."""
    pending = sa.exists().where(Delivery.campaign_id == campaign_id, Delivery.status.in_(PENDING))
    finished = change(
        sa.update(Campaign)
        .where(Campaign.id == campaign_id, Campaign.status == CampaignStatus.SENDING, ~pending)
        .values(status=CampaignStatus.SENT, finished_at=now)
    )
    db.session.commit()
    if finished:
        log.info("campaign sent", extra={"campaign_id": campaign_id})
