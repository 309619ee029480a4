"""What became of the periodic jobs."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from newsletter.db import Base


class PeriodicRun(Base):
    """The last runs of one periodic job: of the installation, or of one machine. Tells of no person."""

    __tablename__ = "periodic_runs"

    name: Mapped[str] = mapped_column(primary_key=True)
    #: The host name, for a job that each machine has; "" for one that all workers share.
    machine: Mapped[str] = mapped_column(primary_key=True, default="")
    #: None: at once.
    due_at: Mapped[datetime | None]
    #: The worker that is at it.
    leased_by: Mapped[str | None]
    leased_until: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    succeeded_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    #: The kind of the last error and where in our code it came up; never its text, which may name somebody.
    error: Mapped[str | None]
    #: How often it has failed since it last succeeded.
    failures: Mapped[int] = mapped_column(default=0, server_default="0")
    runs: Mapped[int] = mapped_column(default=0, server_default="0")
    #: How long the last run took.
    seconds: Mapped[float | None]
