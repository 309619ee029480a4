"""The audit log: who did what to whom; append-only, in a hash chain as the consent ledger is.

An entry names a person by id. Other personal data is in its personal part (``about``), which is erased
with the person while the chain still verifies.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from newsletter import retention
from newsletter.db import Base, db, execute_dml
from newsletter.db.batching import IdRange, People
from newsletter.ledger import hash_chain
from newsletter.ledger.hash_chain import SealedRow, unsealed_index
from newsletter.retention import personal_data

#: The name of the log's chain of seals.
CHAIN = "audit"


class AuditEntry(SealedRow, Base):
    """One entry of the audit log."""

    __tablename__ = "audit"
    __table_args__ = (
        unsealed_index("audit"),
        sa.Index("ix_audit_at", "at"),
        sa.Index("ix_audit_object", "object"),
    )

    at: Mapped[datetime]
    #: "staff:7", "person", "console" or "system".
    actor: Mapped[str]
    action: Mapped[str]
    #: What it was done to, as "campaign:3"; NULL where the act has no one object.
    object: Mapped[str | None]
    details: Mapped[dict[str, Any] | None]
    #: What it tells of a person; blanked when they go.
    about: Mapped[dict[str, Any] | None] = mapped_column(info=personal_data(retention.AUDIT))

    def personal_part(self) -> dict[str, Any]:
        """What goes with the person."""
        return {"about": self.about}

    def lasting_part(self) -> dict[str, Any]:
        """What stays."""
        return {
            "at": self.at.isoformat(),
            "actor": self.actor,
            "action": self.action,
            "object": self.object,
            "details": self.details,
        }


def record(
    action: str,
    *,
    actor: str,
    now: datetime,
    object: str | None = None,  # noqa: A002 - what the field calls it
    about: dict[str, Any] | None = None,
    **details: Any,  # noqa: ANN401 - whatever JSON holds
) -> None:
    """Append an entry in the transaction of the act itself; the caller commits.

    What tells of a person belongs in ``about``: only that can be erased.
    """
    entry = AuditEntry(
        at=now, actor=actor, action=action, object=object, details=details or None, about=about
    )
    db.session.add(entry)


def seal_log() -> int:
    """Seal the acts not sealed yet and return how many. Commits."""
    return hash_chain.seal_unsealed(AuditEntry, CHAIN)


def verify_log() -> hash_chain.ChainReport:
    """Check every act against its seal."""
    return hash_chain.verify(AuditEntry, CHAIN)


def export(subscriber_id: int) -> list[dict[str, Any]]:
    """Return what was done to a person's data, by whom and when."""
    theirs = sa.select(AuditEntry).where(AuditEntry.object == f"subscriber:{subscriber_id}")
    return [
        {
            "at": entry.at.isoformat(),
            "action": entry.action,
            "actor": entry.actor.partition(":")[0],
            "about": entry.about,
        }
        for entry in db.session.scalars(theirs.order_by(AuditEntry.id))
    ]


def erase(people: People) -> None:
    """Blank what the log tells of these people."""
    names: Sequence[str] | sa.Select[Any]
    numbers = people.ids() if isinstance(people, IdRange) else people
    if isinstance(numbers, sa.Select):
        (number,) = numbers.selected_columns
        names = numbers.with_only_columns(sa.literal("subscriber:") + sa.cast(number, sa.String))
    else:
        names = [f"subscriber:{number}" for number in numbers]
    told = AuditEntry.about.is_not(None)
    execute_dml(sa.update(AuditEntry).where(AuditEntry.object.in_(names), told).values(about=None, salt=None))


def delete_before(moment: datetime) -> int:
    """Delete the entries from before an instant and return how many. Commits after each batch."""
    return hash_chain.delete_rows(AuditEntry, CHAIN, AuditEntry.at < moment)
