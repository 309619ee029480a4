"""Drafts of campaigns: creation, validation and look-up."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from newsletter.campaigns.models import Campaign, CampaignList, CampaignStatus, CampaignTotals, Edition
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.errors import N_, NewsletterError, NotFound
from newsletter.ledger import audit
from newsletter.subscribers.models import MailingList

MAX_SUBJECT_LENGTH = 250
#: Unicode categories of control characters, line and paragraph separators.
_LINE_BREAK_CATEGORIES = {"Cc", "Zl", "Zp"}


class UnknownCampaign(NotFound):
    """No campaign has that id."""

    message = N_("There is no campaign number %(id)s.")


class DraftInvalid(NewsletterError):
    """The list, the subject or the text is missing or invalid."""

    message = N_("A campaign needs a subject of one line, at most 250 characters, and a text.")


class NotEditable(NewsletterError):
    """The campaign is not a draft."""

    message = N_("Campaign %(id)s is %(status)s: only a draft can be changed.")


class LanguageUnknown(NewsletterError):
    """The language is not one of LANGUAGES."""

    message = N_("Choose one of the languages %(languages)s.")


def create_campaign(
    lists: Sequence[MailingList],
    *,
    subject: str,
    body: str,
    now: datetime,
    actor: str,
    preview: str = "",
    language: str | None = None,
) -> Campaign:
    """Create a draft with one edition, by default in the language of its first list.

    Raises DraftInvalid when the subject is empty, too long or has a line break, or the text is empty;
    LanguageUnknown for a language that is not configured.
    """
    if not lists or not body.strip():
        raise DraftInvalid
    return create_draft(
        lists, subject=subject, body=body, preview=preview, language=language, now=now, actor=actor
    )


def create_draft(
    lists: Sequence[MailingList],
    *,
    subject: str,
    now: datetime,
    actor: str,
    body: str = "",
    preview: str = "",
    language: str | None = None,
) -> Campaign:
    """Create a draft as ``create_campaign`` does, with a text that may be empty."""
    if not lists:
        raise DraftInvalid
    subject = validate_subject(subject, preview)
    language = validate_language(language or lists[0].language)
    campaign = Campaign(
        created_at=now,
        status=CampaignStatus.DRAFT,
        editions=[Edition(language=language, subject=subject, preview=preview.strip(), body=body)],
        list_ids=[CampaignList(list_id=mailing_list.id) for mailing_list in lists],
        totals=CampaignTotals(),
    )
    db.session.add(campaign)
    db.session.flush()
    audit.record("campaign created", actor=actor, now=now, object=f"campaign:{campaign.id}")
    return campaign


def validate_subject(subject: str, preview: str) -> str:
    """Return the subject without surrounding white space; raise DraftInvalid."""
    subject = subject.strip()
    one_line = not any(
        unicodedata.category(character) in _LINE_BREAK_CATEGORIES for character in subject + preview
    )
    if not subject or len(subject) > MAX_SUBJECT_LENGTH or not one_line:
        raise DraftInvalid
    return subject


def validate_language(language: str) -> str:
    """Return the language if it is configured; raise LanguageUnknown."""
    if language not in current_settings().languages:
        raise LanguageUnknown(languages=", ".join(current_settings().languages))
    return language


def get_draft(campaign_id: int) -> Campaign:
    """Return a draft, locked; raise UnknownCampaign or NotEditable."""
    campaign = get_campaign(campaign_id, lock=True)
    if campaign.status is not CampaignStatus.DRAFT:
        raise NotEditable(id=campaign.id, status=campaign.status.value)
    return campaign


def get_campaign(campaign_id: int, *, lock: bool = False) -> Campaign:
    """Return a campaign; raise UnknownCampaign."""
    statement = sa.select(Campaign).where(Campaign.id == campaign_id)
    if lock:
        # Refresh what was read before the lock was acquired.
        statement = statement.with_for_update(of=Campaign).execution_options(populate_existing=True)
    campaign = db.session.scalar(statement)
    if campaign is None:
        raise UnknownCampaign(id=campaign_id)
    return campaign


def goes_only_to(lists: Sequence[str]) -> sa.ColumnElement[bool]:
    """Return the SQL condition that a campaign goes to no list but these."""
    elsewhere = (
        sa.exists()
        .where(CampaignList.campaign_id == Campaign.id, MailingList.id == CampaignList.list_id)
        .where(MailingList.slug.not_in(lists))
    )
    return ~elsewhere.correlate(Campaign)


def require_campaign_access(campaign_id: int, lists: Sequence[str]) -> None:
    """Raise UnknownCampaign for a campaign that goes to other lists too: it is hidden from the caller."""
    if (
        db.session.scalar(sa.select(Campaign.id).where(Campaign.id == campaign_id, goes_only_to(lists)))
        is None
    ):
        raise UnknownCampaign(id=campaign_id)


def get_campaign_lists(campaign: Campaign) -> Sequence[MailingList]:
    """Return the lists of a campaign, by id."""
    chosen = sa.select(CampaignList.list_id).where(CampaignList.campaign_id == campaign.id)
    return db.session.scalars(
        sa.select(MailingList).where(MailingList.id.in_(chosen)).order_by(MailingList.id)
    ).all()
