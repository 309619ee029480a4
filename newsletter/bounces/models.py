"""What came back: one row a report, whatever way it took."""

import enum
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from newsletter import retention
from newsletter.db import Base
from newsletter.retention import person_reference, personal_data


class Kind(enum.Enum):
    """What a report says; only the first three say that a mail came back."""

    #: There is no such mailbox: never write there again.
    HARD = "hard"
    #: The mailbox is full, the server was away for days: it may work next time.
    SOFT = "soft"
    #: We or our mail are not wanted there: nothing the person can do about.
    OURS = "ours"
    #: On its way, late.
    DELAYED = "delayed"
    #: It arrived, or was opened; somebody's server likes to say so.
    NOTICE = "notice"
    #: Out of office and its like.
    AUTO_REPLY = "auto_reply"
    #: "Prove that you are human": nobody answers.
    CHALLENGE = "challenge"
    #: The person wants to leave, by the mail address in the header.
    UNSUBSCRIBE = "unsubscribe"
    #: The person called it spam; such a report stands among the complaints.
    COMPLAINT = "complaint"
    UNREADABLE = "unreadable"


#: The mail did not arrive after all.
CAME_BACK = (Kind.HARD, Kind.SOFT, Kind.OURS)
#: What a person or a machine wrote for themselves: nothing of it is kept.
CONVERSATION = (Kind.AUTO_REPLY, Kind.CHALLENGE, Kind.NOTICE)


class Bounce(Base):
    """One report on one mail. The same report a second time makes no second row."""

    __tablename__ = "bounces"
    __table_args__ = (sa.Index("ix_bounces_campaign_id", "campaign_id", "kind"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    received_at: Mapped[datetime] = mapped_column(index=True)
    #: How it came: "maildir", "imap", "smtp", "pipe", or the name of a relay.
    source: Mapped[str]
    kind: Mapped[Kind]
    #: NULL for a single mail, and for what names no mail of ours.
    campaign_id: Mapped[int | None]
    #: NULL for mails to staff, and for what names no mail of ours.
    subscriber_id: Mapped[int | None] = mapped_column(index=True, info=person_reference(retention.DELIVERY))
    #: The single mail it is about; NULL for a campaign's.
    outbox_id: Mapped[int | None]
    #: The enhanced status (RFC 3463); NULL where none was given.
    status: Mapped[str | None]
    #: Which line of the table decided.
    reason: Mapped[str | None]
    #: By which version of the table; NULL where nothing was judged, and before there were versions.
    rules: Mapped[int | None]
    #: Stage, code and speaker, which the judgement rests on beside the text; NULL where nothing was judged.
    said: Mapped[dict[str, Any] | None]
    #: What the server said. It may name the person; addresses are cut out.
    text: Mapped[str | None] = mapped_column(info=personal_data(retention.DELIVERY))
    #: Of what it says on which mail, so that a report counts once.
    digest: Mapped[str] = mapped_column(unique=True)
    #: The message as it came, each byte a character; NULL once its time is over.
    raw: Mapped[str | None] = mapped_column(deferred=True, info=personal_data(retention.RAW_BOUNCE))


class Complaint(Base):
    """Somebody pressed "this is spam" on one mail."""

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
