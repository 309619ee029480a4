"""Purge runs, and the slots that let a job run once however many workers there are."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from newsletter.db import Base


class PurgeRun(Base):
    """One run of the purge and its report: counts only, nobody's name."""

    __tablename__ = "purge_runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    #: Everyone who left before this moment goes.
    started_at: Mapped[datetime]
    #: NULL while it runs, or after it was killed; the next run finishes it.
    finished_at: Mapped[datetime | None]
    counts: Mapped[dict[str, Any] | None]


class JobSlot(Base):
    """A job that has been taken for a period, such as ("purge", "2027")."""

    __tablename__ = "job_slots"

    job: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[str] = mapped_column(primary_key=True)
    taken_at: Mapped[datetime]
