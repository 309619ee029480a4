"""The sending worker: claims deliveries, renders and sends their messages, records the outcomes.

All SMTP connections of a process run in one thread. A delivery's status is committed before and after it
is sent, so a crash leaves at most one delivery uncertain for each connection.
"""

import logging
import threading
import time
from datetime import datetime
from functools import lru_cache

import sqlalchemy as sa
from flask import Flask, current_app

from newsletter.campaigns.drafts import get_campaign_lists
from newsletter.campaigns.models import Campaign, CampaignStatus, Edition
from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db, execute_dml, read_transactions
from newsletter.mail.backends import open_transport
from newsletter.mail.replies.models import Fault
from newsletter.mail.return_path import return_paths
from newsletter.mail.smtp.transport import Reply, Transport, TransportSteps
from newsletter.sending.message.personalize import ListName, Personalizer
from newsletter.sending.models import PENDING_STATUSES, Delivery
from newsletter.sending.worker.batcher import DeliveryBatcher, Submission
from newsletter.sending.worker.circuit_breaker import CircuitBreaker, pause_campaign
from newsletter.sending.worker.event_loop import ConnectionSteps, EventLoop, Sleep
from newsletter.sending.worker.leasing import ClaimedDelivery, LeasedDelivery, release_expired, release_leases
from newsletter.sending.worker.sql import WAITING_STATUSES
from newsletter.sending.worker.throttle import DomainQueue, SendRate
from newsletter.sending.worker.warmup import WarmupQuota, daily_limit

log = logging.getLogger(__name__)

#: After so many consecutive losses, or failures to connect, a connection ends until the next wake-up.
MAX_CONNECTION_LOSSES = 3
_RECONNECT_SECONDS = 0.1
#: Faults of connecting for which another try would fail too.
PERMANENT_FAULTS = {Fault.LOGIN, Fault.NO_LOGIN, Fault.TLS, Fault.REFUSED, Fault.EHLO}

_is_stopping = threading.Event()


def stop_sending() -> None:
    """Let every connection of this process finish its mail and stop (graceful shutdown)."""
    _is_stopping.set()


def deliver_due() -> int:
    """Send what is due of every campaign; return how many mails were accepted. Commits."""
    running = sa.select(Campaign.id).where(Campaign.status == CampaignStatus.SENDING).order_by(Campaign.id)
    campaign_ids = db.session.scalars(running).all()
    db.session.rollback()
    return sum(_deliver_campaign(campaign_id) for campaign_id in campaign_ids)


def next_due(now: datetime) -> datetime | None:
    """Return when the next unleased delivery is due; None when the warm-up limit of today is reached."""
    with read_transactions():
        limit = daily_limit(now)
        running = sa.select(Campaign.id).where(Campaign.status == CampaignStatus.SENDING)
        free = sa.and_(
            Delivery.campaign_id.in_(running),
            Delivery.status.in_(WAITING_STATUSES),
            Delivery.leased_by.is_(None),
        )
        is_due = sa.or_(Delivery.due_at.is_(None), Delivery.due_at <= now)
        if limit is not None and limit.is_reached:
            due_at = None
        # A query of its own, as it stops at the first row: after an outage a million may be due.
        elif db.session.scalar(sa.select(sa.exists().where(free, is_due))):
            due_at = now
        else:
            due_at = db.session.scalar(sa.select(sa.func.min(Delivery.due_at)).where(free))
        db.session.rollback()
    return due_at


def recover_abandoned() -> None:
    """End the leases of dead workers in every unfinished campaign. Commits."""
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
    limit = daily_limit(utcnow())
    db.session.rollback()
    if limit is not None and limit.is_reached:
        return 0  # it goes on tomorrow
    held: dict[int, set[int]] = current_app.extensions.setdefault("newsletter.held", {})
    if campaign_id in held:
        # The database was away when the last pass should have done it.
        release_leases(campaign_id, held[campaign_id])
    doubtful = held[campaign_id] = set[int]()
    sending = SendingPass(campaign_id, current_settings().mail_connections, doubtful)
    try:
        accepted = sending.run()
    finally:
        release_leases(campaign_id, doubtful)
        held.pop(campaign_id, None)
        sending.ceiling.close()
    reason = sending.breaker.pause_cause(campaign_id, utcnow())
    if reason is not None:
        pause_campaign(campaign_id, reason, utcnow())
    _finish_campaign(campaign_id, utcnow())
    return accepted


class SendingPass:
    """One pass over the due deliveries of a campaign, shared by its connections.

    When it has ended, ``doubtful`` holds the subscribers whose claim may be committed and was not used.
    """

    def __init__(self, campaign_id: int, connections: int, doubtful: set[int]) -> None:
        chosen = current_settings()
        self.breaker, self.ceiling = CircuitBreaker(), WarmupQuota()
        self._connections, self._rate = connections, SendRate(chosen.mail_rate)
        # Each is used twice: when its envelope is sent ahead, and when its mail is sent.
        self._return_path = lru_cache(maxsize=4 * connections)(return_paths().of)
        self._personalizers = _personalizers(campaign_id)
        waiting = DomainQueue(rate=chosen.mail_domain_rate, at_once=chosen.mail_domain_connections)
        # Under a rate or a daily limit no envelope is sent ahead: the server would wait for its content.
        announces = not (self._rate.is_limited or self.ceiling.is_limited)
        self._batcher = DeliveryBatcher(
            campaign_id, waiting, connections=connections, announces=announces, doubtful=doubtful
        )

    def run(self) -> int:
        """Send until nothing is due, the campaign is stopped, or the server is unreachable."""
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - Flask's documented way into threads
        loop = EventLoop(app, self._batcher.submit)
        return loop.run(self._run_connection(Submission()) for _number in range(self._connections))

    def _run_connection(self, submission: Submission) -> ConnectionSteps:
        """Send over one connection; its last outcome is recorded before this ends."""
        with open_transport() as transport:
            try:
                accepted = yield from self._send_all(submission, transport)
                yield from transport.quit_steps()
            except Exception:
                submission.wants_more = False
                if submission.claimed is not None and submission.outcome is None:
                    # It is not known how far it came: the delivery is uncertain.
                    submission.outcome = (submission.claimed, Reply(0, "broken off", is_uncertain=True))
                yield submission
                raise
        return accepted

    def _send_all(self, submission: Submission, transport: Transport) -> ConnectionSteps:
        accepted = losses = 0
        while losses < MAX_CONNECTION_LOSSES and not self.breaker.is_open and not _is_stopping.is_set():
            reply = yield from transport.connect_steps()
            if reply is None:
                if not self.ceiling.try_consume():
                    break
                if self._rate.is_limited:
                    yield Sleep(self._rate.delay(time.perf_counter()))
                yield submission
                if submission.claimed is None:
                    self.ceiling.refund()
                    if submission.is_done:
                        break
                    if submission.delay:
                        yield Sleep(submission.delay)
                    continue
                reply = yield from self._send_one(submission.claimed, submission.announced, transport)
                submission.outcome, submission.candidate = (submission.claimed, reply), submission.announced
                self._give_back(reply)
            self.breaker.record_reply(reply)
            accepted += reply.is_accepted
            losses = losses + 1 if reply.code == 0 else 0
            if reply.fault in PERMANENT_FAULTS and reply.code == 0:
                break
            if 0 < losses < MAX_CONNECTION_LOSSES:
                yield Sleep(_RECONNECT_SECONDS * 4 ** (losses - 1))
        submission.wants_more = False
        yield submission
        return accepted

    def _give_back(self, reply: Reply) -> None:
        """Give a place under the ceiling back that was lost to a mistake of ours."""
        if reply.fault is not None:
            self.ceiling.refund()

    def _send_one(
        self, claimed: ClaimedDelivery, announced: LeasedDelivery | None, transport: Transport
    ) -> TransportSteps[Reply]:
        try:
            message = self._personalizers[claimed.edition_id].render(
                claimed.subscriber_id,
                claimed.address,
                claimed.list_id,
                is_measured=claimed.is_measured,
                now=utcnow(),
            )
        except Exception:
            # What is wrong with one message must not hold up the others.
            log.exception("copy not written", extra={"campaign_id": claimed.campaign_id})
            return Reply(554, "not written")
        sender = self._return_path(claimed.campaign_id, claimed.subscriber_id)
        following = None
        if announced is not None:
            following = (self._return_path(claimed.campaign_id, announced.subscriber_id), announced.address)
        return (
            yield from transport.send_steps(
                sender, claimed.address, message, following=following, is_dotless=True
            )
        )


def _personalizers(campaign_id: int) -> dict[int, Personalizer]:
    editions = db.session.scalars(
        sa.select(Edition).where(Edition.campaign_id == campaign_id).options(sa.orm.undefer(Edition.compiled))
    ).all()
    lists = {item.id: ListName(item.slug, item.name) for item in get_campaign_lists(editions[0].campaign)}
    personalizers = {edition.id: Personalizer(edition, lists) for edition in editions}
    db.session.rollback()
    return personalizers


def _finish_campaign(campaign_id: int, now: datetime) -> None:
    """Set the status ``sent`` once no delivery is pending. Commits."""
    pending = sa.exists().where(Delivery.campaign_id == campaign_id, Delivery.status.in_(PENDING_STATUSES))
    finished = execute_dml(
        sa.update(Campaign)
        .where(Campaign.id == campaign_id, Campaign.status == CampaignStatus.SENDING, ~pending)
        .values(status=CampaignStatus.SENT, finished_at=now)
    )
    db.session.commit()
    if finished:
        log.info("campaign sent", extra={"campaign_id": campaign_id})
