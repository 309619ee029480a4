"""Tables of pending signups and of the opt-in funnel."""

import enum
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from newsletter import retention
from newsletter.db import Base
from newsletter.retention import person_reference
from newsletter.subscribers.models.people import AUTOINCREMENT, MailingList


class Signup(Base):
    """One request for one or more lists, waiting for its confirmation.

    Only ``token_hash`` is stored of the link: who reads the database cannot confirm for anyone.
    """

    __tablename__ = "signups"
    __table_args__ = (sa.Index("ix_signups_expires_at", "expires_at"), AUTOINCREMENT)

    id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(
        ForeignKey("subscribers.id", ondelete="CASCADE"), index=True, info=person_reference(retention.REQUEST)
    )
    token_hash: Mapped[str] = mapped_column(unique=True)
    #: The language of the page; its mail may use that of the list.
    language: Mapped[str]
    #: The consent text of the ticked box.
    wording_id: Mapped[int] = mapped_column(ForeignKey("wordings.id"))
    #: The text of the tracking box; NULL where it was not ticked.
    tracking_wording_id: Mapped[int | None] = mapped_column(ForeignKey("wordings.id"))
    #: The person does not want to be measured; carried out when the link comes back.
    refuses_tracking: Mapped[bool] = mapped_column(default=False)
    #: Hash of the signup browser's cookie; NULL where there was no browser.
    browser_hash: Mapped[str | None]
    #: The host of the page with the form, for the funnel; NULL where there was no form.
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


class FunnelStep(enum.Enum):
    """A step of the opt-in funnel."""

    SHOWN = "shown"
    SENT_IN = "sent_in"
    MAIL_ACCEPTED = "mail_accepted"
    PAGE_OPENED = "page_opened"
    CONFIRMED = "confirmed"


class FunnelCount(Base):
    """How often a step was taken on a day. Holds no personal data."""

    __tablename__ = "funnel"

    #: In the business time zone.
    day: Mapped[date] = mapped_column(primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"), primary_key=True, autoincrement=False)
    #: Of the page with the form.
    language: Mapped[str] = mapped_column(primary_key=True)
    #: The host of the page with the form.
    form_host: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[FunnelStep] = mapped_column(primary_key=True)
    #: A count is spread over several rows, so that processes do not contend for one row lock.
    shard: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    count: Mapped[int]
