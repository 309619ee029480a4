"""Tables of the API: idempotency keys, webhooks and their messages."""

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.db import Base


class IdempotentRequest(Base):
    """A write with an Idempotency-Key: sent twice, it is executed once. Kept for a day.

    The response is encrypted with a key that only the token's secret yields (``idempotency``).
    """

    __tablename__ = "idempotent_requests"

    token_id: Mapped[int] = mapped_column(ForeignKey("api_tokens.id", ondelete="CASCADE"), primary_key=True)
    #: Keyed hash of the key, as clients may put personal data into it.
    key: Mapped[str] = mapped_column(primary_key=True)
    #: Keyed hash of method, path and body: another request with the same key is refused.
    fingerprint: Mapped[str]
    #: HTTP status; NULL until the response is stored.
    status: Mapped[int | None]
    #: The encrypted response.
    body: Mapped[str | None]
    created_at: Mapped[datetime]


class Webhook(Base):
    """An outgoing webhook."""

    __tablename__ = "webhooks"

    id: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str]
    #: The signing secret; encrypted, as its plain text is needed for signing.
    secret: Mapped[str]
    #: The subscribed events.
    events: Mapped[list[str]] = mapped_column(JSON)
    #: The actor that created it: "console" or "staff:7".
    made_by: Mapped[str]
    created_at: Mapped[datetime]
    #: NULL while it is active.
    ended_at: Mapped[datetime | None]
    #: Position in the hash chain of the consent ledger up to which messages were enqueued.
    position: Mapped[int]


class WebhookMessage(Base):
    """One event for one webhook, retried until it is accepted. Refers to people by id only."""

    __tablename__ = "webhook_messages"
    __table_args__ = (
        UniqueConstraint("webhook_id", "event", "object"),
        Index(
            "ix_webhook_messages_due",
            "due_at",
            sqlite_where=text("due_at is not null"),
            postgresql_where=text("due_at is not null"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    #: The same in every attempt, so that the receiver can detect duplicates.
    message_id: Mapped[str] = mapped_column(unique=True)
    event: Mapped[str]
    #: Such as "consent:7" or "campaign:3"; unique by webhook and event.
    object: Mapped[str]
    body: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    #: The next attempt; NULL once accepted or given up. A worker advances it before each attempt.
    due_at: Mapped[datetime | None]
    #: NULL until the receiver accepted it.
    delivered_at: Mapped[datetime | None]
    #: HTTP status of the last attempt; NULL without a response.
    reply_code: Mapped[int | None]
