"""The words of consent, and the ledger of who consented to them."""

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
    """What a consent is for."""

    NEWSLETTER = "newsletter"
    TRACKING = "tracking"


class Wording(Base):
    """The exact words of a box somebody ticked. Never changed: other words are another version."""

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
    """One fact in the life of a consent."""

    ASKED = "asked"
    CONFIRMED = "confirmed"
    WITHDRAWN = "withdrawn"


class Consent(SealedRow, Base):
    """One fact about one consent; only ever appended to.

    When a person is purged or erased, the personal columns are blanked and the row stays until
    ``keep_until``: which words, when, and the keyed hash of the address, so that a given address
    can still be looked up (GDPR art. 7(1), 5(2)).
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
    #: NULL for a withdrawal, which needs no words.
    wording_id: Mapped[int | None] = mapped_column(ForeignKey("wordings.id"))
    #: The version of the privacy notice in force.
    notice_version: Mapped[int]
    at: Mapped[datetime]
    #: How: form, link, page, one-click, staff, import.
    method: Mapped[str]
    #: The page the form stood on, without its query; NULL where there was no form.
    form_url: Mapped[str | None] = mapped_column(info=personal_data(retention.EVIDENCE))
    ip: Mapped[str | None] = mapped_column(info=personal_data(retention.EVIDENCE))
    user_agent: Mapped[str | None] = mapped_column(info=personal_data(retention.EVIDENCE))
    #: The Message-ID of the confirmation mail; NULL for other facts.
    mail_id: Mapped[str | None]
    #: What is odd about it, such as "hasty" or "scanner", with commas between; NULL when nothing is.
    remarks: Mapped[str | None]
    #: The import it came with, and what its row of the file said; NULL where the person acted here.
    import_id: Mapped[int | None] = mapped_column(ForeignKey("imports.id"))
    source: Mapped[str | None] = mapped_column(info=personal_data(retention.EVIDENCE))
    proof: Mapped[str | None] = mapped_column(info=personal_data(retention.EVIDENCE))
    #: Set when the person goes; NULL while the person is here.
    address_hash: Mapped[str | None] = mapped_column(index=True, info=person_reference(retention.PROOF))
    keep_until: Mapped[datetime | None]

    def personal_part(self) -> dict[str, object]:
        """What points to the person: sealed through a salted digest, so that it can be erased."""
        return {
            "subscriber": self.subscriber_id,
            "form_url": self.form_url,
            "ip": self.ip,
            "user_agent": self.user_agent,
        } | _given(source=self.source, proof=self.proof)

    def lasting_part(self) -> dict[str, object]:
        """What stays when the person goes."""
        return {
            "kind": self.kind.value,
            "purpose": self.purpose.value,
            "list": self.list_id,
            "wording": self.wording_id,
            "notice": self.notice_version,
            "at": self.at.isoformat(),
            "method": self.method,
            "mail": self.mail_id,
        } | _given(remarks=self.remarks, **{"import": self.import_id})


def _given(**later: object) -> dict[str, object]:
    """Return what has a value of columns that came later: without them a fact is sealed as ever."""
    return {name: value for name, value in later.items() if value is not None}


class Import(Base):
    """One file of subscribers taken over from elsewhere. A killed import goes on under its own row."""

    __tablename__ = "imports"

    id: Mapped[int] = mapped_column(primary_key=True)
    file_name: Mapped[str]
    #: SHA-256 of the file, so that the file in somebody's archive can be told to be the one.
    file_hash: Mapped[str]
    #: The slugs of the lists, with commas between.
    lists: Mapped[str]
    #: Who: "staff:7" or "console".
    actor: Mapped[str]
    started_at: Mapped[datetime]
    #: NULL while it runs, or after it was killed.
    finished_at: Mapped[datetime | None]
    counts: Mapped[dict[str, Any] | None]
