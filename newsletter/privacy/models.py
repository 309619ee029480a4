"""Tables of data protection: purge runs, rights requests, notices, breaches, and slots of once-only jobs."""

import enum
from datetime import date, datetime
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from newsletter import retention
from newsletter.db import Base
from newsletter.retention import person_reference, personal_data


class PurgeRun(Base):
    """One run of the purge and its report: counts only, nobody's name."""

    __tablename__ = "purge_runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    #: Everyone who left before this moment goes.
    started_at: Mapped[datetime]
    #: NULL while it runs, or after it was killed; the next run finishes it.
    finished_at: Mapped[datetime | None]
    counts: Mapped[dict[str, Any] | None]
    #: How many were left out, by reason.
    left_out: Mapped[dict[str, Any] | None]
    #: Where it stands, as {"stage", "done", "total"}; NULL before the first step.
    progress: Mapped[dict[str, Any] | None]
    #: True once the people to delete are stored in purge_people; later ones wait a year.
    is_gathered: Mapped[bool] = mapped_column(default=False)
    #: Who started it: "staff:7", "console" or "system".
    actor: Mapped[str] = mapped_column(default="system")


class PurgeCandidate(Base):
    """A subscriber selected by the running purge, so that a killed run continues with the same people."""

    __tablename__ = "purge_people"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own class-level setting

    subscriber_id: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, info=person_reference(retention.RUN)
    )


class JobSlot(Base):
    """A job claimed for a period, such as ("purge", "2027"), or a flag such as ("restore", "replay")."""

    __tablename__ = "job_slots"

    job: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[str] = mapped_column(primary_key=True)
    taken_at: Mapped[datetime]


class RequestKind(enum.Enum):
    """The right a person exercises (GDPR art. 15 to 21)."""

    ACCESS = "access"
    PORTABILITY = "portability"
    RECTIFICATION = "rectification"
    ERASURE = "erasure"
    RESTRICTION = "restriction"
    OBJECTION = "objection"


class RequestStatus(enum.Enum):
    """Status of a request."""

    #: Not yet confirmed through the link sent to the mailbox.
    UNPROVEN = "unproven"
    OPEN = "open"
    DONE = "done"
    #: Carried out, and there was nothing to carry it out on.
    NOTHING_HELD = "nothing_held"
    REFUSED = "refused"


class RightsRequest(Base):
    """One rights request in the register. After an erasure only the keyed hash identifies the person."""

    __tablename__ = "rights_requests"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - its number stands in letters

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[RequestKind]
    status: Mapped[RequestStatus] = mapped_column(index=True)
    #: NULL when nobody has the address, and once the person has gone.
    subscriber_id: Mapped[int | None] = mapped_column(
        ForeignKey("subscribers.id", ondelete="SET NULL"), index=True, info=person_reference(retention.DESK)
    )
    #: Where the answer goes; NULL once the person has gone.
    address: Mapped[str | None] = mapped_column(info=personal_data(retention.DESK))
    address_hash: Mapped[str] = mapped_column(index=True, info=person_reference(retention.DESK))
    #: What the person wrote, or the value to put right.
    details: Mapped[str | None] = mapped_column(info=personal_data(retention.DESK))
    #: Of an objection, with commas between; empty for other kinds.
    scopes: Mapped[str] = mapped_column(default="")
    #: How it came: own_page, form, mail, phone, letter or visit.
    channel: Mapped[str]
    language: Mapped[str]
    received_at: Mapped[datetime]
    #: The day the answer is due (RD-2).
    due_on: Mapped[date]
    #: Set when the person was told, within the first month, that it takes two months more.
    extended_at: Mapped[datetime | None]
    extension_reason: Mapped[str | None] = mapped_column(info=personal_data(retention.DESK))
    #: When and how it was made sure who asks: mailbox, staff; NULL until then.
    identified_at: Mapped[datetime | None]
    identified_by: Mapped[str | None]
    #: The link that proves the mailbox, as a hash; NULL where none was sent.
    token_hash: Mapped[str | None] = mapped_column(unique=True)
    decided_at: Mapped[datetime | None]
    handler: Mapped[str | None]
    #: Of a refusal.
    reason_code: Mapped[str | None]
    reason_text: Mapped[str | None] = mapped_column(info=personal_data(retention.DESK))
    #: The letter as it went out, to be printed again; goes with the person.
    reply: Mapped[str | None] = mapped_column(info=personal_data(retention.DESK))
    #: mail or print.
    reply_by: Mapped[str | None]
    #: The link by which the right address is confirmed, and when it was; NULL where none was put right.
    address_link_id: Mapped[int | None]
    address_confirmed_at: Mapped[datetime | None]


class Objection(Base):
    """What an address has objected to (RD-8; GDPR art. 21). Kept as a keyed hash, as it survives erasure."""

    __tablename__ = "bans"

    address_hash: Mapped[str] = mapped_column(primary_key=True, info=person_reference(retention.SUPPRESSION))
    scope: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]


class Hold(Base):
    """A hold: a reason why a person's data must be kept. No purge and no erasure while it is active."""

    __tablename__ = "holds"

    id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(
        ForeignKey("subscribers.id", ondelete="CASCADE"), index=True, info=person_reference(retention.HOLD)
    )
    #: law, invoice, collection or claim.
    reason_code: Mapped[str]
    text: Mapped[str] = mapped_column(info=personal_data(retention.HOLD))
    created_at: Mapped[datetime]
    actor: Mapped[str]
    #: NULL while it is active.
    ended_at: Mapped[datetime | None]


class Disclosure(Base):
    """Data about a person given to somebody else: who, what, when, why, on what ground."""

    __tablename__ = "disclosures"

    id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(
        ForeignKey("subscribers.id", ondelete="CASCADE"),
        index=True,
        info=person_reference(retention.DISCLOSURE),
    )
    recipient: Mapped[str] = mapped_column(info=personal_data(retention.DISCLOSURE))
    #: Where to write to the recipient; NULL where it is told by other means.
    contact: Mapped[str | None]
    what: Mapped[str] = mapped_column(info=personal_data(retention.DISCLOSURE))
    why: Mapped[str] = mapped_column(info=personal_data(retention.DISCLOSURE))
    ground: Mapped[str]
    at: Mapped[datetime]
    actor: Mapped[str]


class Told(enum.Enum):
    """Who is notified."""

    RECIPIENT = "recipient"
    #: Where we had the data from, when it was wrong there.
    SOURCE = "source"


class NotificationTask(Base):
    """A recipient or source to notify of a rectification, erasure or restriction (GDPR art. 19)."""

    __tablename__ = "notification_tasks"

    id: Mapped[int] = mapped_column(primary_key=True)
    request_id: Mapped[int] = mapped_column(ForeignKey("rights_requests.id", ondelete="CASCADE"), index=True)
    kind: Mapped[Told] = mapped_column(default=Told.RECIPIENT)
    recipient: Mapped[str]
    #: What they are told; it names the person, so it goes once they have been.
    letter: Mapped[str | None] = mapped_column(info=personal_data(retention.TOLD))
    created_at: Mapped[datetime]
    #: NULL until they were told.
    done_at: Mapped[datetime | None]
    #: Who told them: "staff:7", or "mail".
    actor: Mapped[str | None]


class Statement(Base):
    """A person's statement of what is wrong in the evidence, which is sealed (GDPR art. 16)."""

    __tablename__ = "statements"

    id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(
        ForeignKey("subscribers.id", ondelete="CASCADE"),
        index=True,
        info=person_reference(retention.EVIDENCE),
    )
    text: Mapped[str] = mapped_column(info=personal_data(retention.EVIDENCE))
    created_at: Mapped[datetime]
    actor: Mapped[str]


class Notice(Base):
    """A published version of the privacy notice, word for word. Never changed."""

    __tablename__ = "notices"

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    #: The sections of each language.
    content: Mapped[dict[str, Any]]
    published_at: Mapped[datetime]
    actor: Mapped[str]


class Incident(Base):
    """A breach of personal data, and the clock of 72 hours (GDPR art. 33)."""

    __tablename__ = "incidents"

    id: Mapped[int] = mapped_column(primary_key=True)
    noticed_at: Mapped[datetime]
    began_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    description: Mapped[str]
    #: What it may lead to for the people, and what was done about it (GDPR art. 33(3), (5)).
    effects: Mapped[str] = mapped_column(default="")
    measures: Mapped[str] = mapped_column(default="")
    #: How many people it concerns, as counted when it was entered.
    affected_count: Mapped[int]
    actor: Mapped[str]
    #: When the authority was told; NULL until then.
    reported_at: Mapped[datetime | None]
    #: When the people were told (GDPR art. 34); NULL until then.
    told_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
