"""What the API remembers: writes that a program may repeat, and whom it tells of what happens."""

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.db import Base


class IdempotentRequest(Base):
    """A write with a key of the program's own: sent twice, it is done once. Kept for a day.

    Only the program's token can read any of it (``repeats``).
    """

    __tablename__ = "idempotent_requests"

    token_id: Mapped[int] = mapped_column(ForeignKey("api_tokens.id", ondelete="CASCADE"), primary_key=True)
    #: A keyed hash of it: programs put into a key what they like.
    key: Mapped[str] = mapped_column(primary_key=True)
    #: Covers method, path and body: the same key for something else is a mistake.
    fingerprint: Mapped[str]
    #: NULL until the answer has been written down.
    status: Mapped[int | None]
    #: Enciphered.
    body: Mapped[str | None]
    created_at: Mapped[datetime]


class Webhook(Base):
    """An address of another program that wants to be told."""

    __tablename__ = "webhooks"

    id: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str]
    #: Signs what is sent there; encrypted, as it has to be known to be used.
    secret: Mapped[str]
    #: What it wants to hear of.
    events: Mapped[list[str]] = mapped_column(JSON)
    #: Who made it: "console" or "staff:7".
    made_by: Mapped[str]
    created_at: Mapped[datetime]
    #: NULL while it is told.
    ended_at: Mapped[datetime | None]
    #: How far in the sealed ledger of consents it has been told.
    position: Mapped[int]


class WebhookMessage(Base):
    """One thing that one address is told, tried until it is taken. It names people by number alone."""

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
    #: The same at every try, so that the other side can tell a repetition.
    message_id: Mapped[str] = mapped_column(unique=True)
    event: Mapped[str]
    #: What it is about, as "consent:7" or "campaign:3": nothing is told twice.
    object: Mapped[str]
    body: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    #: When to try; NULL once it was taken or given up. A worker moves it on before it tries.
    due_at: Mapped[datetime | None]
    #: NULL until the other side took it.
    delivered_at: Mapped[datetime | None]
    #: The last answer; NULL when none was heard.
    reply_code: Mapped[int | None]
