"""Lists, subscribers, subscriptions, signups, and the evidence of consent."""

import enum
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from newsletter import retention
from newsletter.db import Base
from newsletter.retention import kept, ruled
from newsletter.sealing import Sealable, unsealed_index

# Ids of rows that mails point at are never used again, on SQLite as on PostgreSQL: an old link of a
# person who is gone must not open the next person's details.
NEVER_REUSED = {"sqlite_autoincrement": True}


class MailingList(Base):
    """One newsletter in one language."""

    __tablename__ = "lists"
    __table_args__ = NEVER_REUSED

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    language: Mapped[str]
    #: Shown beside the form; empty when nothing was written.
    topics: Mapped[str] = mapped_column(default="")
    frequency: Mapped[str] = mapped_column(default="")
    #: What went to it may be read by everybody in the archive.
    is_public: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]


class TrackingState(enum.Enum):
    """What a person said about measuring opens and clicks."""

    UNKNOWN = "unknown"
    REFUSED = "refused"
    GRANTED = "granted"


class Subscriber(Base):
    """The person we write to. Known by the address alone: no name, no birthday, nothing else."""

    __tablename__ = "subscribers"
    __table_args__ = NEVER_REUSED

    id: Mapped[int] = mapped_column(primary_key=True)
    #: As it was given, the domain as A-label.
    address: Mapped[str] = mapped_column(info=kept(retention.SUBSCRIPTION))
    #: Casefolded; two spellings of one address are one person.
    address_key: Mapped[str] = mapped_column(unique=True, info=kept(retention.SUBSCRIPTION))
    #: The keyed hash that suppressions are kept under, so that the database itself can compare.
    address_hash: Mapped[str] = mapped_column(index=True, info=kept(retention.SUBSCRIPTION))
    language: Mapped[str]
    tracking: Mapped[TrackingState] = mapped_column(default=TrackingState.UNKNOWN)
    #: When the person chose; NULL while unknown.
    tracking_chosen_at: Mapped[datetime | None]
    #: Set while processing is restricted (GDPR art. 18): no mail, no measuring, no purge.
    restricted_at: Mapped[datetime | None]
    created_at: Mapped[datetime]

    subscriptions: Mapped[list["Subscription"]] = relationship(
        back_populates="subscriber", passive_deletes=True, order_by="Subscription.list_id"
    )


class AddressPart(Base):
    """An address from one of its words on, so that staff find people by more than its beginning.

    Any other index of parts would need an extension of the database, or keep what was erased.
    """

    __tablename__ = "address_parts"
    # Compared byte by byte on both engines, so that "begins with" is a range of the index.
    __table_args__ = (sa.Index("ix_address_parts_subscriber_id", "subscriber_id"),)

    part: Mapped[str] = mapped_column(
        sa.String().with_variant(sa.String(collation="C"), "postgresql"),
        primary_key=True,
        info=kept(retention.SUBSCRIPTION),
    )
    subscriber_id: Mapped[int] = mapped_column(
        ForeignKey("subscribers.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        info=ruled(retention.SUBSCRIPTION),
    )


class SubscriptionStatus(enum.Enum):
    """A subscription's life."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    UNSUBSCRIBED = "unsubscribed"


class Subscription(Base):
    """One subscriber on one list. An ended subscription keeps its row until the purge."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        UniqueConstraint("subscriber_id", "list_id"),
        sa.Index("ix_subscriptions_audience", "list_id", "status", "subscriber_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(
        ForeignKey("subscribers.id", ondelete="CASCADE"), info=ruled(retention.SUBSCRIPTION)
    )
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"))
    status: Mapped[SubscriptionStatus] = mapped_column(default=SubscriptionStatus.PENDING)
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    unsubscribed_at: Mapped[datetime | None]
    #: When a receipt of leaving last went to the mailbox; NULL when none did.
    receipt_at: Mapped[datetime | None]

    subscriber: Mapped[Subscriber] = relationship(back_populates="subscriptions")
    mailing_list: Mapped[MailingList] = relationship(lazy="joined", innerjoin=True)


class Signup(Base):
    """One request for one or more lists, waiting for its link to come back.

    ``token_hash`` is all we keep of the link: whoever reads the database cannot confirm anyone.
    """

    __tablename__ = "signups"
    __table_args__ = (sa.Index("ix_signups_expires_at", "expires_at"), NEVER_REUSED)

    id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(
        ForeignKey("subscribers.id", ondelete="CASCADE"), index=True, info=ruled(retention.REQUEST)
    )
    token_hash: Mapped[str] = mapped_column(unique=True)
    #: The language of the page it was made on; its mail may speak another (its list's).
    language: Mapped[str]
    #: The words of the box that was ticked.
    wording_id: Mapped[int] = mapped_column(ForeignKey("wordings.id"))
    #: The words of the tracking box; NULL where it was left empty.
    tracking_wording_id: Mapped[int | None] = mapped_column(ForeignKey("wordings.id"))
    #: The cookie of the browser that signed up, as a hash; NULL where there was no browser.
    browser_hash: Mapped[str | None]
    #: The site its form stood on, for the funnel; NULL where there was no form.
    form_host: Mapped[str | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]

    lists: Mapped[list[MailingList]] = relationship(secondary="signup_lists", order_by="MailingList.id")


class SignupList(Base):
    """A list that a signup asks for."""

    __tablename__ = "signup_lists"

    signup_id: Mapped[int] = mapped_column(ForeignKey("signups.id", ondelete="CASCADE"), primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"), primary_key=True)


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


class Consent(Sealable, Base):
    """One fact about one consent; only ever appended to.

    When a person is purged or erased, the personal columns are blanked and the row stays until
    ``keep_until``: which words, when, and the keyed hash of the address, so that a given address
    can still be looked up (GDPR art. 7(1), 5(2)).
    """

    __tablename__ = "consents"
    __table_args__ = (unsealed_index("consents"),)

    #: NULL once the person has been purged or erased.
    subscriber_id: Mapped[int | None] = mapped_column(
        ForeignKey("subscribers.id", ondelete="SET NULL"), index=True, info=ruled(retention.EVIDENCE)
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
    form_url: Mapped[str | None] = mapped_column(info=kept(retention.EVIDENCE))
    ip: Mapped[str | None] = mapped_column(info=kept(retention.EVIDENCE))
    user_agent: Mapped[str | None] = mapped_column(info=kept(retention.EVIDENCE))
    #: The Message-ID of the confirmation mail; NULL for other facts.
    mail_id: Mapped[str | None]
    #: What is odd about it, such as "hasty" or "scanner", with commas between; NULL when nothing is.
    remarks: Mapped[str | None]
    #: The import it came with, and what its row of the file said; NULL where the person acted here.
    import_id: Mapped[int | None] = mapped_column(ForeignKey("imports.id"))
    source: Mapped[str | None] = mapped_column(info=kept(retention.EVIDENCE))
    proof: Mapped[str | None] = mapped_column(info=kept(retention.EVIDENCE))
    #: Set when the person goes; NULL while the person is here.
    address_hash: Mapped[str | None] = mapped_column(index=True, info=ruled(retention.PROOF))
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


class SuppressionReason(enum.Enum):
    """Why an address must not be written to."""

    NOT_REQUESTED = "not_requested"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    #: Objected to direct marketing; a later double opt-in of one's own ends it.
    OBJECTED = "objected"
    #: Wants no mail at all; only staff can lift it.
    BANNED = "banned"


class Suppression(Base):
    """An address we must not write to again. It survives erasure, so it is kept as a keyed hash."""

    __tablename__ = "suppressions"

    #: HMAC-SHA-256 of the address key with SUPPRESSION_KEY, which no database or backup holds.
    address_hash: Mapped[str] = mapped_column(primary_key=True, info=ruled(retention.SUPPRESSION))
    #: Which key made the hash.
    key_id: Mapped[str]
    reason: Mapped[SuppressionReason]
    created_at: Mapped[datetime]


class LinkPurpose(enum.Enum):
    """What a fresh link lets the mailbox's owner do."""

    #: Name another address.
    ADDRESS = "address"
    #: Prove that the other address is theirs too.
    NEW_ADDRESS = "new_address"
    #: Allow tracking, or be written to in another language.
    CHOICE = "choice"
    COPY = "copy"
    ERASURE = "erasure"


class FreshLink(Base):
    """A link sent to a mailbox for one act, soon and once. Forgotten a day later.

    ``token_hash`` is all we keep of the link itself.
    """

    __tablename__ = "fresh_links"

    id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(
        ForeignKey("subscribers.id", ondelete="CASCADE"), index=True, info=ruled(retention.LINK)
    )
    purpose: Mapped[LinkPurpose]
    token_hash: Mapped[str] = mapped_column(unique=True)
    #: The address to prove; NULL for the other purposes.
    new_address: Mapped[str | None] = mapped_column(info=kept(retention.LINK))
    #: The language to write in from now on; NULL leaves it as it is.
    language: Mapped[str | None]
    allows_tracking: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(index=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class FunnelStep(enum.Enum):
    """A step on the way from the form to the subscription."""

    SHOWN = "shown"
    SENT_IN = "sent_in"
    MAIL_ACCEPTED = "mail_accepted"
    PAGE_OPENED = "page_opened"
    CONFIRMED = "confirmed"


class FunnelCount(Base):
    """How often a step was taken on a day. Nothing here points to anyone."""

    __tablename__ = "funnel"

    #: In the business time zone.
    day: Mapped[date] = mapped_column(primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"), primary_key=True, autoincrement=False)
    #: Of the page with the form.
    language: Mapped[str] = mapped_column(primary_key=True)
    #: The host of the page with the form.
    form_host: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[FunnelStep] = mapped_column(primary_key=True)
    #: Several rows share a count, so that two processes do not wait for each other's row.
    shard: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    count: Mapped[int]
