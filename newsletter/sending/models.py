"""Tables of sending: deliveries (one campaign to one subscriber), and the days of warm-up."""

import enum
from datetime import date, datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from newsletter import retention
from newsletter.db import Base
from newsletter.retention import person_reference, personal_data


class DeliveryStatus(enum.Enum):
    """A delivery's life.

    queued -> sending -> accepted, deferred (and again), failed or uncertain; later bounced, complained.
    """

    QUEUED = "queued"
    SENDING = "sending"
    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    FAILED = "failed"
    #: Unsubscribed, suppressed or restricted before the mail was sent.
    SKIPPED = "skipped"
    #: The process died between the final dot and the reply: never retried automatically.
    UNCERTAIN = "uncertain"
    BOUNCED = "bounced"
    COMPLAINED = "complained"


class Delivery(Base):
    """One campaign to one subscriber.

    The key is the order of claiming; a second index would cost more than it finds.
    """

    __tablename__ = "deliveries"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own class-level setting

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    #: Deleted by the purge's scan, not by a cascade: that would need an index of its own.
    subscriber_id: Mapped[int] = mapped_column(primary_key=True, info=person_reference(retention.DELIVERY))
    edition_id: Mapped[int]
    #: The list it is sent on behalf of: what "unsubscribe" in it means, and its List-Id.
    list_id: Mapped[int]
    status: Mapped[DeliveryStatus] = mapped_column(default=DeliveryStatus.QUEUED)
    attempts: Mapped[int] = mapped_column(default=0)
    #: When it may be tried again; NULL means at once.
    due_at: Mapped[datetime | None]
    leased_by: Mapped[str | None]
    leased_until: Mapped[datetime | None]
    accepted_at: Mapped[datetime | None]
    #: The server's last answer; NULL before any.
    reply_code: Mapped[int | None]
    #: Its text, where it did not accept the mail: it may name the person. Addresses are redacted.
    reply_text: Mapped[str | None] = mapped_column(info=personal_data(retention.DELIVERY))
    #: Which row of the table judged that answer; NULL where it was accepted, or none came.
    rule: Mapped[str | None]
    #: By which version of the table.
    rules: Mapped[int | None]
    #: When staff decided to leave an uncertain one as it is; NULL while that is open.
    decided_at: Mapped[datetime | None]
    #: True when the message carried the pixel and tracked links.
    is_measured: Mapped[bool] = mapped_column(default=False)
    first_open_at: Mapped[datetime | None]
    first_click_at: Mapped[datetime | None]
    unsubscribed_at: Mapped[datetime | None]


#: Statuses of deliveries that are not final yet.
PENDING_STATUSES = (DeliveryStatus.QUEUED, DeliveryStatus.DEFERRED, DeliveryStatus.SENDING)


class SendingDay(Base):
    """How many newsletters were reserved on one day of the business time zone, during warm-up."""

    __tablename__ = "sending_days"

    day: Mapped[date] = mapped_column(primary_key=True)
    #: Reserved by workers in small amounts; unused ones are returned.
    taken: Mapped[int]
