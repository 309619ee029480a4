"""Links, the raw records of opens and clicks, and how far each spool file has been read."""

import enum
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from newsletter import retention
from newsletter.db import Base
from newsletter.retention import personal_data


class Link(Base):
    """Link n of an edition: where a click may lead. Nothing else is ever redirected to."""

    __tablename__ = "links"

    edition_id: Mapped[int] = mapped_column(ForeignKey("editions.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    url: Mapped[str]


class LinkTotals(Base):
    """A link's figures as plain numbers."""

    __tablename__ = "link_totals"

    edition_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    human: Mapped[int] = mapped_column(default=0)
    machine: Mapped[int] = mapped_column(default=0)
    unique_human: Mapped[int] = mapped_column(default=0)

    __table_args__ = (
        sa.ForeignKeyConstraint(
            ["edition_id", "number"], ["links.edition_id", "links.number"], ondelete="CASCADE"
        ),
    )


class LinkReader(Base):
    """Who has followed a link: makes "unique" exact without counting raw records again."""

    __tablename__ = "link_readers"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own class-level setting

    edition_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(primary_key=True, info=personal_data(retention.EVENTS))


class EventKind(enum.Enum):
    """What was fetched."""

    __hash__ = object.__hash__  # one object a member; Enum's own hashes its name each time

    OPEN = "open"
    CLICK = "click"


class MachineClass(enum.Enum):
    """Who fetched it, as far as one can tell."""

    __hash__ = object.__hash__

    HUMAN = "human"
    #: A mail provider's picture proxy, on behalf of a person who opened the mail.
    PROXY = "proxy"
    #: Apple's privacy feature, from one of its relays; and what has its name but not its address.
    APPLE_MPP = "apple_mpp"
    APPLE_SUSPECTED = "apple_suspected"
    #: A mail filter that follows links and loads pictures.
    SCANNER = "scanner"
    #: A program that says so itself.
    BOT = "bot"


#: Events are indexed by (id / this, subscriber). The index of one block of ids is small, so a loader and a
#: purge, which go by id, change few of its pages; with an index by campaign and person the purge took seven
#: times as long.
ID_BLOCK = 20_000
#: As literal SQL: an expression with parameters is not matched to the index.
ID_BLOCK_OF = sa.literal_column(f"(events.id / {ID_BLOCK})", sa.BigInteger())


class Event(Base):
    """One open or click by someone who allowed measuring."""

    __tablename__ = "events"
    __table_args__ = (sa.Index("ix_events_run", sa.text(f"(id / {ID_BLOCK})"), "subscriber_id"),)

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    at: Mapped[datetime]
    campaign_id: Mapped[int]
    edition_id: Mapped[int]
    subscriber_id: Mapped[int] = mapped_column(info=personal_data(retention.EVENTS))
    kind: Mapped[EventKind]
    #: NULL for an open.
    link_number: Mapped[int | None]
    ip: Mapped[str | None] = mapped_column(info=personal_data(retention.IP_ADDRESS))
    user_agent: Mapped[str | None] = mapped_column(info=personal_data(retention.EVENTS))
    machine_class: Mapped[MachineClass]
    #: Which rules said so.
    rules_version: Mapped[int]


class RecentClick(Base):
    """A click of the last minutes, which later clicks may still reclassify as part of a machine's burst.

    It stores what it was counted as, so that the count can be undone exactly.
    """

    __tablename__ = "recent_clicks"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own class-level setting

    subscriber_id: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, info=personal_data(retention.EVENTS)
    )
    event_id: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False
    )
    edition_id: Mapped[int]
    number: Mapped[int]
    at: Mapped[datetime]
    loaded_at: Mapped[datetime]
    machine_class: Mapped[MachineClass]
    #: It made the person one who clicked, or one who followed this link.
    is_first: Mapped[bool]
    is_reader: Mapped[bool]


class JobCursor(Base):
    """The last event id that a job has processed, so that it resumes there the next day."""

    __tablename__ = "walks"

    name: Mapped[str] = mapped_column(primary_key=True)
    last_id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"))
    finished_at: Mapped[datetime | None]
