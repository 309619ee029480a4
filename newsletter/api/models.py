"""What the API remembers: writes that a program may repeat."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.db import Base


class IdempotentRequest(Base):
    """A write with a key of the program's own: sent twice, it is done once. Kept for a day."""

    __tablename__ = "idempotent_requests"

    token_id: Mapped[int] = mapped_column(ForeignKey("api_tokens.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    #: Covers method, path and body: the same key for something else is a mistake.
    fingerprint: Mapped[str]
    #: NULL until the answer has been written down.
    status: Mapped[int | None]
    body: Mapped[str | None]
    created_at: Mapped[datetime]
