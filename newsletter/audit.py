"""Who did what to whom. Only ever appended to."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from newsletter.db import Base, db


class AuditEntry(Base):
    """One act. Names people by id only, so erasing a person leaves the log as it is."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    #: "staff:7", "person", "console" or "system".
    actor: Mapped[str]
    action: Mapped[str]
    #: What it was done to, as "campaign:3"; NULL where the act has no one object.
    object: Mapped[str | None]
    details: Mapped[dict[str, Any] | None]


def record(
    action: str,
    *,
    actor: str,
    now: datetime,
    object: str | None = None,  # noqa: A002 - what the field calls it
    **details: object,
) -> None:
    """Append one act to the log, in the transaction of the act itself."""
    db.session.add(AuditEntry(at=now, actor=actor, action=action, object=object, details=details or None))
