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

    OPEN = "open"
    CLICK = "click"


class MachineClass(enum.Enum):
    """Who fetched it, as far as one can tell."""

    HUMAN = "human"
    PROXY = "proxy"
    APPLE_MPP = "apple_mpp"
    SCANNER = "scanner"


class Event(Base):
    """One open or click by someone who allowed measuring. No index but its number: it is only walked."""

    __tablename__ = "events"

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


class SpoolOffset(Base):
    """How far a spool file has been read, kept in the transaction that stored what was read."""

    __tablename__ = "spool_offsets"

    file: Mapped[str] = mapped_column(primary_key=True)
    offset: Mapped[int]
