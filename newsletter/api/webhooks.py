"""Outgoing webhooks, by the Standard Webhooks specification.

A job turns events of our tables into messages, one for each webhook and event, and another attempts each
until it is accepted. Messages refer to people by id only.
"""

import base64
import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from http.client import HTTPException
from typing import Any

import sqlalchemy as sa
from cryptography.fernet import Fernet, MultiFernet

from newsletter.api import webhook_http
from newsletter.api.models import Webhook, WebhookMessage
from newsletter.bounces.models import BOUNCE_KINDS, Bounce, Complaint
from newsletter.campaigns.models import Campaign, CampaignStatus
from newsletter.config import current_settings
from newsletter.db import db, execute_dml, insert_or_ignore
from newsletter.errors import N_, NewsletterError, NotFound
from newsletter.ledger import audit
from newsletter.ledger.hash_chain import Seal
from newsletter.subscribers.consent.evidence import CONSENT_CHAIN
from newsletter.subscribers.models import Consent, ConsentKind, MailingList, Purpose
from newsletter.subscribers.objections import list_objections_since

log = logging.getLogger(__name__)

#: The event of each kind of row in the consent ledger.
CONSENT_EVENTS = {
    ConsentKind.ASKED: "subscriber.subscribed",
    ConsentKind.CONFIRMED: "subscriber.confirmed",
    ConsentKind.WITHDRAWN: "subscriber.unsubscribed",
}
CAMPAIGN_FINISHED = "campaign.finished"
BOUNCED, COMPLAINED = "subscriber.bounced", "subscriber.complained"
OBJECTED = "subscriber.objected"
EVENTS = (*CONSENT_EVENTS.values(), CAMPAIGN_FINISHED, BOUNCED, COMPLAINED, OBJECTED)
BATCH_SIZE = 200
#: Delays between attempts, as the specification suggests; after the last one the message is given up.
RETRY_DELAYS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
KEEP_FOR = timedelta(days=30)
#: Older bounces and complaints are not sent, even after an outage of the workers.
_MAX_REPORT_AGE = timedelta(days=3)
PostFunction = Callable[..., int]


class WebhookInvalid(NewsletterError):
    """Unknown events, or none."""

    message = N_("Choose from these events: %(events)s")


class UnknownWebhook(NotFound):
    """There is no such webhook."""

    message = N_("There is no webhook number %(id)s.")


def create_webhook(url: str, events: Iterable[str], *, now: datetime, actor: str) -> tuple[Webhook, str]:
    """Create a webhook; return it and its secret, shown once. Raises TargetRefused or WebhookInvalid."""
    chosen = sorted(set(events))
    if not chosen or set(chosen) - set(EVENTS):
        raise WebhookInvalid(events=", ".join(EVENTS))
    webhook_http.require_target(url)
    secret = secrets.token_bytes(32)
    made = Webhook(
        url=url,
        secret=_cipher().encrypt(secret).decode(),
        events=chosen,
        made_by=actor,
        created_at=now,
        position=db.session.scalar(sa.select(sa.func.max(Seal.position)).where(Seal.chain == CONSENT_CHAIN))
        or 0,
    )
    db.session.add(made)
    db.session.flush()
    audit.record("webhook made", actor=actor, now=now, object=f"webhook:{made.id}", events=chosen)
    return made, f"whsec_{base64.b64encode(secret).decode()}"


def all_webhooks() -> Sequence[Webhook]:
    """Return every webhook."""
    return db.session.scalars(sa.select(Webhook).order_by(Webhook.id)).all()


def get_webhook(number: int) -> Webhook:
    """Return a webhook; raise UnknownWebhook."""
    found = db.session.get(Webhook, number)
    if found is None:
        raise UnknownWebhook(id=number)
    return found


def end_webhook(number: int, *, now: datetime, actor: str) -> None:
    """End a webhook and delete its undelivered messages. Raises UnknownWebhook."""
    found = get_webhook(number)
    found.ended_at = found.ended_at or now
    execute_dml(sa.delete(WebhookMessage).where(WebhookMessage.webhook_id == number))
    audit.record("webhook ended", actor=actor, now=now, object=f"webhook:{number}")


def replay(number: int, *, since: datetime, now: datetime) -> int:
    """Send the messages created since an instant again; return how many. Raises UnknownWebhook."""
    get_webhook(number)
    theirs = (WebhookMessage.webhook_id == number, WebhookMessage.created_at >= since)
    return execute_dml(
        sa.update(WebhookMessage).where(*theirs).values(due_at=now, attempts=0, delivered_at=None)
    )


def enqueue_messages(now: datetime) -> int:
    """Enqueue the messages of all webhooks; return how many. Commits after each webhook."""
    written = 0
    for webhook in all_webhooks():
        if webhook.ended_at is None:
            written += _enqueue_consents(webhook, now) + _enqueue_campaigns(webhook, now)
            written += _enqueue_reports(webhook, now) + _enqueue_objections(webhook, now)
            db.session.commit()
    execute_dml(sa.delete(WebhookMessage).where(WebhookMessage.created_at < now - KEEP_FOR))
    db.session.commit()
    return written


def deliver(now: datetime, *, post: PostFunction = webhook_http.post) -> int:
    """Attempt the due messages; return how many were accepted. Commits before and after each."""
    taken = 0
    while (found := _claim(now)) is not None:
        message, webhook = found
        status = _attempt(message, webhook, now, post)
        message.reply_code = status
        if status is not None and 200 <= status < 300:  # noqa: PLR2004
            message.delivered_at, message.due_at = now, None
            taken += 1
        log.info("webhook tried", extra={"webhook_id": webhook.id, "message_id": message.id, "code": status})
        db.session.commit()
    return taken


def sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the Standard Webhooks signature."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()


def _enqueue_consents(webhook: Webhook, now: datetime) -> int:
    # The hash chain orders rows that several processes wrote concurrently, so none is skipped.
    rows = db.session.execute(
        sa.select(Seal.position, Consent, MailingList.slug)
        .outerjoin(Consent, Consent.id == Seal.row_id)
        .outerjoin(MailingList, MailingList.id == Consent.list_id)
        .where(Seal.chain == CONSENT_CHAIN, Seal.position > webhook.position)
        .order_by(Seal.position)
        .limit(BATCH_SIZE)
    ).all()
    written = 0
    for position, consent, slug in rows:
        webhook.position = position
        if consent is None or consent.purpose is not Purpose.NEWSLETTER or consent.subscriber_id is None:
            continue  # erased meanwhile, or about tracking
        data = {"subscriber_id": consent.subscriber_id, "list": slug, "method": consent.method}
        written += _enqueue(
            webhook, CONSENT_EVENTS[consent.kind], f"consent:{consent.id}", consent.at, data, now
        )
    return written


def _enqueue_campaigns(webhook: Webhook, now: datetime) -> int:
    told = sa.exists().where(
        WebhookMessage.webhook_id == webhook.id,
        WebhookMessage.event == CAMPAIGN_FINISHED,
        WebhookMessage.object == sa.literal("campaign:").concat(sa.cast(Campaign.id, sa.String)),
    )
    finished = db.session.scalars(
        sa.select(Campaign).where(
            Campaign.status == CampaignStatus.SENT,
            Campaign.finished_at >= max(webhook.created_at, now - KEEP_FOR),
            ~told,
        )
    ).unique()
    return sum(
        _enqueue(
            webhook,
            CAMPAIGN_FINISHED,
            f"campaign:{campaign.id}",
            campaign.finished_at or now,
            {"campaign_id": campaign.id},
            now,
        )
        for campaign in finished
    )


def _enqueue_reports(webhook: Webhook, now: datetime) -> int:
    written = 0
    kinds: tuple[tuple[str, type[Bounce | Complaint], str], ...]
    kinds = ((BOUNCED, Bounce, "bounce"), (COMPLAINED, Complaint, "complaint"))
    for event, table, name in kinds:
        if event not in webhook.events:
            continue
        told = sa.exists().where(
            WebhookMessage.webhook_id == webhook.id,
            WebhookMessage.event == event,
            WebhookMessage.object == sa.literal(f"{name}:").concat(sa.cast(table.id, sa.String)),
        )
        news = sa.select(table).where(
            table.received_at >= max(webhook.created_at, now - _MAX_REPORT_AGE),
            table.subscriber_id.is_not(None),
            ~told,
        )
        if table is Bounce:
            news = news.where(Bounce.kind.in_(BOUNCE_KINDS))
        row: Bounce | Complaint
        for row in db.session.scalars(news.order_by(table.id).limit(BATCH_SIZE)):  # type: ignore[assignment]
            data: dict[str, Any] = {"subscriber_id": row.subscriber_id, "campaign_id": row.campaign_id}
            if isinstance(row, Bounce):
                data |= {"kind": row.kind.value, "status": row.status}
            written += _enqueue(webhook, event, f"{name}:{row.id}", row.received_at, data, now)
    return written


def _enqueue_objections(webhook: Webhook, now: datetime) -> int:
    if OBJECTED not in webhook.events:
        return 0
    written = 0
    for subscriber_id, scope, at in list_objections_since(max(webhook.created_at, now - _MAX_REPORT_AGE)):
        about = f"objection:{subscriber_id}:{scope}:{at:%Y%m%d%H%M%S}"  # one lifted and made again is news
        data = {"subscriber_id": subscriber_id, "scope": scope}
        written += _enqueue(webhook, OBJECTED, about, at, data, now)
    return written


def _enqueue(
    webhook: Webhook, event: str, about: str, at: datetime, data: dict[str, Any], now: datetime
) -> int:
    if event not in webhook.events:
        return 0
    row = {
        "webhook_id": webhook.id,
        "message_id": f"msg_{secrets.token_urlsafe(18)}",
        "event": event,
        "object": about,
        "body": json.dumps({"type": event, "timestamp": at.isoformat(), "data": data}),
        "created_at": now,
        "attempts": 0,
        "due_at": now,
    }
    return insert_or_ignore(WebhookMessage, row)


def _claim(now: datetime) -> tuple[WebhookMessage, Webhook] | None:
    """Return a due message. Its next attempt is set and committed first, so no two workers send it."""
    due = (
        sa.select(WebhookMessage)
        .where(WebhookMessage.due_at <= now)
        .order_by(WebhookMessage.due_at, WebhookMessage.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    message = db.session.scalar(due)
    if message is None:
        db.session.rollback()
        return None
    gap = RETRY_DELAYS[message.attempts] if message.attempts < len(RETRY_DELAYS) else None
    message.attempts += 1
    message.due_at = now + gap if gap is not None else None
    webhook = get_webhook(message.webhook_id)
    db.session.commit()
    return message, webhook


def _attempt(message: WebhookMessage, webhook: Webhook, now: datetime, post: PostFunction) -> int | None:
    body, stamp = message.body.encode(), int(now.timestamp())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message.message_id,
        "webhook-timestamp": str(stamp),
        "webhook-signature": sign(
            _cipher().decrypt(webhook.secret.encode()), message.message_id, stamp, body
        ),
    }
    try:
        return post(webhook.url, body, headers)
    except (OSError, HTTPException, webhook_http.TargetRefused):
        return None


def _cipher() -> MultiFernet:
    keys = (current_settings().secret_key, *current_settings().secret_key_fallbacks)
    derived = [hmac.digest(key.encode(), b"webhooks", hashlib.sha256) for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in derived])
