"""Tables of consent texts, the consent ledger and imports."""

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from newsletter import retention
from newsletter.db import Base
from newsletter.ledger.hash_chain import SealedRow, unsealed_index
from newsletter.retention import person_reference, personal_data


class Purpose(enum.Enum):
    """The purpose of a consent."""

    NEWSLETTER = "newsletter"
    TRACKING = "tracking"


class Wording(Base):
    """The exact text of a consent box. Rows are immutable: another text is another version."""

    __tablename__ = "wordings"
    __table_args__ = (
        UniqueConstraint("purpose", "language", "version"),
        UniqueConstraint("purpose", "language", "text"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    purpose: Mapped[Purpose]
    language: Mapped[str]
    version: Mapped[int]
    text: Mapped[str]
    created_at: Mapped[datetime]


class ConsentKind(enum.Enum):
    """What a row of the consent ledger records."""

    ASKED = "asked"
    CONFIRMED = "confirmed"
    WITHDRAWN = "withdrawn"


class Consent(SealedRow, Base):
    """One row of the consent ledger; append-only.

    When a person is purged or erased, the personal columns are blanked and the row stays until
    ``keep_until``: which text, when, and the keyed hash of the address, so that the proof for a given
    address can still be found (GDPR Art. 5(2), 7(1)).
    """

    __tablename__ = "consents"
    __table_args__ = (unsealed_index("consents"),)

    #: NULL once the person has been purged or erased.
    subscriber_id: Mapped[int | None] = mapped_column(
        ForeignKey("subscribers.id", ondelete="SET NULL"),
        index=True,
        info=person_reference(retention.EVIDENCE),
    )
    kind: Mapped[ConsentKind]
    purpose: Mapped[Purpose]
    #: NULL for tracking, which is one choice for all lists.
    list_id: Mapped[int | None] = mapped_column(ForeignKey("lists.id"))
    #: NULL for a withdrawal, which has no consent text.
    wording_id: Mapped[int | None] = mapped_column(ForeignKey("wordings.id"))
    #: The version of the privacy notice in force at the time.
    notice_version: Mapped[int]
    at: Mapped[datetime]
    #: form, link, page, one-click, staff, import ...
    method: Mapped[str]
    #: URL of the page with the form, without its query; NULL where there was no form.
    form_url: Mapped[str | None] = mapped_column(info=personal_data(retention.EVIDENCE))
    ip: Mapped[str | None] = mapped_column(info=personal_data(retention.EVIDENCE))
    user_agent: Mapped[str | None] = mapped_column(info=personal_data(retention.EVIDENCE))
    #: The Message-ID of the confirmation mail; NULL for other facts.
    mail_id: Mapped[str | None]
    #: Comma-separated flags such as "hasty" or "scanner"; NULL when there are none.
    remarks: Mapped[str | None]
    #: The import it came with, and source and proof of its row; NULL where the person acted here.
    import_id: Mapped[int | None] = mapped_column(ForeignKey("imports.id"))
    source: Mapped[str | None] = mapped_column(info=personal_data(retention.EVIDENCE))
    proof: Mapped[str | None] = mapped_column(info=personal_data(retention.EVIDENCE))
    #: Set when the person is erased or purged; NULL before.
    address_hash: Mapped[str | None] = mapped_column(index=True, info=person_reference(retention.PROOF))
    keep_until: Mapped[datetime | None]

    def personal_part(self) -> dict[str, object]:
        """Return the identifying columns; sealed as a salted digest, so that they can be erased."""
        return {
            "subscriber": self.subscriber_id,
            "form_url": self.form_url,
            "ip": self.ip,
            "user_agent": self.user_agent,
        } | _without_nulls(source=self.source, proof=self.proof)

    def lasting_part(self) -> dict[str, object]:
        """Return the columns that stay after an erasure."""
        return {
            "kind": self.kind.value,
            "purpose": self.purpose.value,
            "list": self.list_id,
            "wording": self.wording_id,
            "notice": self.notice_version,
            "at": self.at.isoformat(),
            "method": self.method,
            "mail": self.mail_id,
        } | _without_nulls(remarks=self.remarks, **{"import": self.import_id})


def _without_nulls(**later: object) -> dict[str, object]:
    """Return columns added later that have a value: older rows keep the digest they were sealed with."""
    return {name: value for name, value in later.items() if value is not None}


class Import(Base):
    """One import of subscribers from a file. An interrupted import is continued under its own row."""

    __tablename__ = "imports"

    id: Mapped[int] = mapped_column(primary_key=True)
    file_name: Mapped[str]
    #: SHA-256 of the file, to identify it later.
    file_hash: Mapped[str]
    #: Comma-separated slugs of the lists.
    lists: Mapped[str]
    #: Who: "staff:7" or "console".
    actor: Mapped[str]
    started_at: Mapped[datetime]
    #: NULL while it runs, or after it was interrupted.
    finished_at: Mapped[datetime | None]
    counts: Mapped[dict[str, Any] | None]
