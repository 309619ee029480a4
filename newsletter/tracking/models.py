"""Links, the raw records of opens and clicks, and how far each spool file has been read."""

import enum
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from newsletter import retention
from newsletter.db import Base
from newsletter.retention import kept


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
    subscriber_id: Mapped[int] = mapped_column(primary_key=True, info=kept(retention.EVENTS))


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


#: Records are looked up by person in runs of so many numbers. The index of one run is small, so a loader
#: and a purge, which go by number, change few pages of it; with an index by campaign and person the purge
#: took seven times as long.
RUN = 20_000
#: Written out: a database sees that an expression is the index's own only where it has no parameters.
RUN_OF = sa.literal_column(f"(events.id / {RUN})", sa.BigInteger())


class Event(Base):
    """One open or click by someone who allowed measuring."""

    __tablename__ = "events"
    __table_args__ = (sa.Index("ix_events_run", sa.text(f"(id / {RUN})"), "subscriber_id"),)

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    at: Mapped[datetime]
    campaign_id: Mapped[int]
    edition_id: Mapped[int]
    subscriber_id: Mapped[int] = mapped_column(info=kept(retention.EVENTS))
    kind: Mapped[EventKind]
    #: NULL for an open.
    link_number: Mapped[int | None]
    ip: Mapped[str | None] = mapped_column(info=kept(retention.IP_ADDRESS))
    user_agent: Mapped[str | None] = mapped_column(info=kept(retention.EVENTS))
    machine_class: Mapped[MachineClass]
    #: Which rules said so.
    rules_version: Mapped[int]


class RecentClick(Base):
    """A click of the last minutes, which later clicks may still show to be a machine's.

    Remembers for what it was counted, so that it can be counted back exactly.
    """

    __tablename__ = "recent_clicks"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own class-level setting

    subscriber_id: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, info=kept(retention.EVENTS)
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


class Walk(Base):
    """How far a job has walked along the raw records, so that it goes on there the next day."""

    __tablename__ = "walks"

    name: Mapped[str] = mapped_column(primary_key=True)
    last_id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"))
    finished_at: Mapped[datetime | None]
