"""Tables: the outbox of single mails (not campaigns), and the results of deliverability checks."""

import enum
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from newsletter import retention
from newsletter.db import Base
from newsletter.retention import person_reference, personal_data


class MailStatus(enum.Enum):
    """The status of a single mail; the words are those of a delivery."""

    QUEUED = "queued"
    SENDING = "sending"
    ACCEPTED = "accepted"
    FAILED = "failed"
    #: We died between handing the mail over and reading the answer: never sent again by itself.
    UNCERTAIN = "uncertain"


#: The condition of an index, so it is written out: databases compare it letter by letter.
UNDELIVERED = "status in ('failed', 'uncertain')"


class OutboxMail(Base):
    """A mail to one person; its text is composed when it is sent.

    ``context`` holds the links, so it goes as soon as the mail has gone, and the address with it.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        sa.Index(
            "ix_outbox_due",
            "due_at",
            postgresql_where=sa.text("status = 'queued'"),
            sqlite_where=sa.text("status = 'queued'"),
        ),
        # Those that staff must look at are few, among all that were ever sent.
        sa.Index(
            "ix_outbox_undelivered",
            "id",
            postgresql_where=sa.text(UNDELIVERED),
            sqlite_where=sa.text(UNDELIVERED),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    #: NULL for mails to staff, and once the person has been erased.
    subscriber_id: Mapped[int | None] = mapped_column(
        ForeignKey("subscribers.id", ondelete="SET NULL"), index=True, info=person_reference(retention.MAIL)
    )
    #: The folder in templates/mail/.
    template: Mapped[str]
    language: Mapped[str]
    #: NULL once the mail has been accepted or has failed.
    address: Mapped[str | None] = mapped_column(info=personal_data(retention.MAIL))
    context: Mapped[dict[str, Any] | None] = mapped_column(info=personal_data(retention.MAIL))
    #: Kept when the mail is tried again.
    message_id: Mapped[str]
    status: Mapped[MailStatus] = mapped_column(default=MailStatus.QUEUED)
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    #: The process that holds the mail, and until when.
    leased_by: Mapped[str | None]
    leased_until: Mapped[datetime | None]
    accepted_at: Mapped[datetime | None]
    #: The mail server's code, or NULL when none was heard.
    reply_code: Mapped[int | None]
    #: Which row of the table judged it; NULL where it was accepted, or none was heard.
    rule: Mapped[str | None]
    #: By which version of the table.
    rules: Mapped[int | None]


class Grade(enum.Enum):
    """The outcome of a deliverability check."""

    FINE = "fine"
    #: Nothing is wrong; somebody may want to know.
    NOTE = "note"
    #: It could not be queried.
    UNKNOWN = "unknown"
    FAILED = "failed"


class DeliverabilityResult(Base):
    """The last result of one deliverability check; no personal data."""

    __tablename__ = "standings"

    #: "spf", "dkim" and so on.
    code: Mapped[str] = mapped_column(primary_key=True)
    grade: Mapped[Grade]
    #: The key of the message, and its values.
    word: Mapped[str]
    details: Mapped[dict[str, Any]]
    checked_at: Mapped[datetime]
