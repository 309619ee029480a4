"""Tables of bounces and complaints: one row per report, from whatever source."""

import enum
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from newsletter import retention
from newsletter.db import Base
from newsletter.retention import person_reference, personal_data


class ReportKind(enum.Enum):
    """The kind of a report; HARD, SOFT and OURS are bounces."""

    #: The mailbox does not exist: the address is suppressed.
    HARD = "hard"
    #: Temporary: the mailbox is full, the server was unavailable.
    SOFT = "soft"
    #: Rejected because of the sender or content: policy, filter, block list.
    OURS = "ours"
    #: Delayed; the server keeps trying.
    DELAYED = "delayed"
    #: A success notification or read receipt.
    NOTICE = "notice"
    #: An automatic reply, such as out of office.
    AUTO_REPLY = "auto_reply"
    #: A challenge-response filter; nobody answers it.
    CHALLENGE = "challenge"
    #: An unsubscribe by the mail address in List-Unsubscribe (RFC 2369).
    UNSUBSCRIBE = "unsubscribe"
    #: The person reported it as spam; stored as a Complaint.
    COMPLAINT = "complaint"
    UNREADABLE = "unreadable"


#: Kinds that say that the mail was not delivered.
BOUNCE_KINDS = (ReportKind.HARD, ReportKind.SOFT, ReportKind.OURS)
#: Kinds written for a person, not for us: their content is not stored.
CONTENT_NOT_KEPT = (ReportKind.AUTO_REPLY, ReportKind.CHALLENGE, ReportKind.NOTICE)


class Bounce(Base):
    """One report about one mail. The unique digest excludes duplicates."""

    __tablename__ = "bounces"
    __table_args__ = (sa.Index("ix_bounces_campaign_id", "campaign_id", "kind"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    received_at: Mapped[datetime] = mapped_column(index=True)
    #: "maildir", "imap", "smtp", "pipe", or the name of a relay.
    source: Mapped[str]
    kind: Mapped[ReportKind]
    #: NULL for a single mail, and for an unmatched report.
    campaign_id: Mapped[int | None]
    #: NULL for mails to staff, and for an unmatched report.
    subscriber_id: Mapped[int | None] = mapped_column(index=True, info=person_reference(retention.DELIVERY))
    #: The single mail it is about; NULL for a campaign.
    outbox_id: Mapped[int | None]
    #: The enhanced status (RFC 3463); NULL where none was given.
    status: Mapped[str | None]
    #: The key of the rule that decided (``classify.RULES``).
    reason: Mapped[str | None]
    #: By which version of the table; NULL where nothing was judged, and before there were versions.
    rules: Mapped[int | None]
    #: Stage, code and speaker, which the judgement rests on beside the text; NULL where nothing was judged.
    said: Mapped[dict[str, Any] | None]
    #: The text of the server, without addresses; it may still name the person.
    text: Mapped[str | None] = mapped_column(info=personal_data(retention.DELIVERY))
    #: Hash of mail and content, so that a report counts once.
    digest: Mapped[str] = mapped_column(unique=True)
    #: The message, one character per byte (Latin-1); NULL after its retention period.
    raw: Mapped[str | None] = mapped_column(deferred=True, info=personal_data(retention.RAW_BOUNCE))


class Complaint(Base):
    """A spam complaint about one mail (feedback loop)."""

    __tablename__ = "complaints"
    __table_args__ = (sa.Index("ix_complaints_campaign_id", "campaign_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    received_at: Mapped[datetime] = mapped_column(index=True)
    source: Mapped[str]
    #: NULL for a single mail.
    campaign_id: Mapped[int | None]
    subscriber_id: Mapped[int | None] = mapped_column(index=True, info=person_reference(retention.DELIVERY))
    outbox_id: Mapped[int | None]
    #: "abuse", "fraud", ... (RFC 5965).
    feedback_type: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    raw: Mapped[str | None] = mapped_column(deferred=True, info=personal_data(retention.RAW_BOUNCE))


class WebhookToken(Base):
    """What a relay signed a call with that may be taken once only; kept for as long as its stamp holds."""

    __tablename__ = "webhook_tokens"

    digest: Mapped[str] = mapped_column(primary_key=True)
    taken_at: Mapped[datetime]
