"""The worker's part: claim, fill, hand over, and keep the books.

All connections of a process run in one thread. What is known of a delivery is committed before and
after it is handed over, so a crash leaves at most one in doubt for each connection.
"""

import logging
import threading
import time
from datetime import datetime
from functools import lru_cache

import sqlalchemy as sa
from flask import Flask, current_app

from newsletter.campaigns.drafts import lists_of
from newsletter.campaigns.models import Campaign, CampaignStatus, Edition
from newsletter.clock import utcnow
from newsletter.config import settings
from newsletter.db import change, db, reading
from newsletter.mail.backends import open_transport
from newsletter.mail.return_path import return_paths
from newsletter.mail.smtp.transport import Deed, Fault, Reply, Transport
from newsletter.sending.message.personalize import Filler, ListName
from newsletter.sending.models import PENDING, Delivery
from newsletter.sending.worker.batcher import Ledger, Turn
from newsletter.sending.worker.circuit_breaker import Breaker, pause_for
from newsletter.sending.worker.event_loop import Pause, Rounds, Work
from newsletter.sending.worker.leasing import Claimed, Leased, release, release_expired
from newsletter.sending.worker.sql import WAITING
from newsletter.sending.worker.throttle import Pace, Waiting
from newsletter.sending.worker.warmup import Ceiling, today

log = logging.getLogger(__name__)

#: A connection lost so often in a row, or not made, is given up until the next wake-up.
LOSSES = 3
_FIRST_PAUSE = 0.1
#: Why no connection was made, where another try would end the same way.
HOPELESS = {Fault.LOGIN, Fault.NO_LOGIN, Fault.TLS, Fault.REFUSED}

_halted = threading.Event()


def halt() -> None:
    """Let every connection of this process finish its mail and send no more."""
    _halted.set()


def deliver_due() -> int:
    """Work off every campaign that is being sent and return how many mails were accepted."""
    running = sa.select(Campaign.id).where(Campaign.status == CampaignStatus.SENDING).order_by(Campaign.id)
    campaign_ids = db.session.scalars(running).all()
    db.session.rollback()
    return sum(_deliver_campaign(campaign_id) for campaign_id in campaign_ids)


def next_due(now: datetime) -> datetime | None:
    """Return when something is due next that nobody holds; None when a ceiling holds all until tomorrow."""
    with reading():
        limit = today(now)
        running = sa.select(Campaign.id).where(Campaign.status == CampaignStatus.SENDING)
        free = sa.and_(
            Delivery.campaign_id.in_(running), Delivery.status.in_(WAITING), Delivery.leased_by.is_(None)
        )
        is_due = sa.or_(Delivery.due_at.is_(None), Delivery.due_at <= now)
        if limit is not None and limit.is_reached:
            due_at = None
        # Apart, as the first is found at once: after an outage there may be a million.
        elif db.session.scalar(sa.select(sa.exists().where(free, is_due))):
            due_at = now
        else:
            due_at = db.session.scalar(sa.select(sa.func.min(Delivery.due_at)).where(free))
        db.session.rollback()
    return due_at


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
    limit = today(utcnow())
    db.session.rollback()
    if limit is not None and limit.is_reached:
        return 0  # it goes on tomorrow
    held: dict[int, set[int]] = current_app.extensions.setdefault("newsletter.held", {})
    if campaign_id in held:
        # The database was away when the last pass should have done it.
        release(campaign_id, held[campaign_id])
    doubtful = held[campaign_id] = set[int]()
    one_pass = Pass(campaign_id, settings().mail_connections, doubtful)
    try:
        accepted = one_pass.run()
    finally:
        release(campaign_id, doubtful)
        held.pop(campaign_id, None)
        one_pass.ceiling.close()
    reason = one_pass.breaker.verdict(campaign_id, utcnow())
    if reason is not None:
        pause_for(campaign_id, reason, utcnow())
    _finish(campaign_id, utcnow())
    return accepted


class Pass:
    """One pass over what is due of a campaign, shared by its connections.

    When it has ended, ``doubtful`` names those that may stand as ``sending`` and were not handed over.
    """

    def __init__(self, campaign_id: int, connections: int, doubtful: set[int]) -> None:
        chosen = settings()
        self.breaker, self.ceiling = Breaker(), Ceiling()
        self._connections, self._pace = connections, Pace(chosen.mail_rate)
        # Each is asked for twice: when its mail is announced, and when it is sent.
        self._return_path = lru_cache(maxsize=4 * connections)(return_paths().of)
        self._fillers = _fillers(campaign_id)
        waiting = Waiting(rate=chosen.mail_domain_rate, at_once=chosen.mail_domain_connections)
        # Under a rate or a ceiling nothing is announced: the server would wait for it, not knowing how long.
        announces = not (self._pace.is_limited or self.ceiling.is_there)
        self._ledger = Ledger(
            campaign_id, waiting, connections=connections, announces=announces, doubtful=doubtful
        )

    def run(self) -> int:
        """Send until nothing is due, the campaign is stopped, or the server is away."""
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - Flask's documented way into threads
        rounds = Rounds(app, self._ledger.settle)
        return rounds.run(self._work(Turn()) for _number in range(self._connections))

    def _work(self, turn: Turn) -> Work:
        """Send over one connection, whose last answer is in the books when it ends."""
        with open_transport() as transport:
            try:
                accepted = yield from self._send_all(turn, transport)
                yield from transport.leaving()
            except Exception:
                turn.wants_more = False
                if turn.claimed is not None and turn.answered is None:
                    # Nobody can tell how far it came: that is what uncertain means, and at once.
                    turn.answered = (turn.claimed, Reply(0, "broken off", is_uncertain=True))
                yield turn
                raise
        return accepted

    def _send_all(self, turn: Turn, transport: Transport) -> Work:
        accepted = losses = 0
        while losses < LOSSES and not self.breaker.is_tripped and not _halted.is_set():
            reply = yield from transport.opening()
            if reply is None:
                if not self.ceiling.admits():
                    break
                if self._pace.is_limited:
                    yield Pause(self._pace.wait(time.perf_counter()))
                yield turn
                if turn.claimed is None:
                    self.ceiling.put_back()
                    if turn.is_over:
                        break
                    if turn.wait:
                        yield Pause(turn.wait)
                    continue
                reply = yield from self._hand_over(turn.claimed, turn.ahead, transport)
                turn.answered, turn.candidate = (turn.claimed, reply), turn.ahead
            self.breaker.note(reply)
            accepted += reply.is_accepted
            losses = losses + 1 if reply.code == 0 else 0
            if reply.fault in HOPELESS and reply.code == 0:
                break
            if 0 < losses < LOSSES:
                yield Pause(_FIRST_PAUSE * 4 ** (losses - 1))
        turn.wants_more = False
        yield turn
        return accepted

    def _hand_over(self, claimed: Claimed, ahead: Leased | None, transport: Transport) -> Deed[Reply]:
        try:
            message = self._fillers[claimed.edition_id].fill(
                claimed.subscriber_id,
                claimed.address,
                claimed.list_id,
                is_measured=claimed.is_measured,
                now=utcnow(),
            )
        except Exception:
            # What is wrong with one copy must not hold up the others.
            log.exception("copy not written", extra={"campaign_id": claimed.campaign_id})
            return Reply(554, "not written")
        sender = self._return_path(claimed.campaign_id, claimed.subscriber_id)
        following = None
        if ahead is not None:
            following = (self._return_path(claimed.campaign_id, ahead.subscriber_id), ahead.address)
        return (
            yield from transport.sending(
                sender, claimed.address, message, following=following, is_dotless=True
            )
        )


def _fillers(campaign_id: int) -> dict[int, Filler]:
    editions = db.session.scalars(
        sa.select(Edition).where(Edition.campaign_id == campaign_id).options(sa.orm.undefer(Edition.compiled))
    ).all()
    lists = {item.id: ListName(item.slug, item.name) for item in lists_of(editions[0].campaign)}
    fillers = {edition.id: Filler(edition, lists) for edition in editions}
    db.session.rollback()
    return fillers


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
