"""Writing a campaign: what makes a draft, and what it may not be."""

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

LONGEST_SUBJECT = 250
#: Controls, and the two characters that break lines without being controls.
_BREAKS = {"Cc", "Zl", "Zp"}


class UnknownCampaign(NotFound):
    """There is no campaign of that number."""

    message = N_("There is no campaign number %(id)s.")


class DraftInvalid(NewsletterError):
    """A campaign needs a list, a subject of one line, and in the end a text."""

    message = N_("A campaign needs a subject of one line, at most 250 characters, and a text.")


class NotEditable(NewsletterError):
    """It is on its way, or has been."""

    message = N_("Campaign %(id)s is %(status)s: only a draft can be changed.")


class LanguageUnknown(NewsletterError):
    """We do not write in that language."""

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
    """Make a draft with one edition, in the lists' language unless one is named.

    Raises DraftInvalid when the subject is empty, too long or has a line break, or the text is
    empty; LanguageUnknown for a language that we do not write in.
    """
    if not lists or not body.strip():
        raise DraftInvalid
    return begin_campaign(
        lists, subject=subject, body=body, preview=preview, language=language, now=now, actor=actor
    )


def begin_campaign(
    lists: Sequence[MailingList],
    *,
    subject: str,
    now: datetime,
    actor: str,
    body: str = "",
    preview: str = "",
    language: str | None = None,
) -> Campaign:
    """Do as ``create_campaign``, but the text may still be written."""
    if not lists:
        raise DraftInvalid
    subject = checked_subject(subject, preview)
    language = checked_language(language or lists[0].language)
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


def checked_subject(subject: str, preview: str) -> str:
    """Return a subject without the space around it; raise DraftInvalid if it cannot be one."""
    subject = subject.strip()
    one_line = not any(unicodedata.category(character) in _BREAKS for character in subject + preview)
    if not subject or len(subject) > LONGEST_SUBJECT or not one_line:
        raise DraftInvalid
    return subject


def checked_language(language: str) -> str:
    """Return a language that we write in; raise LanguageUnknown."""
    if language not in current_settings().languages:
        raise LanguageUnknown(languages=", ".join(current_settings().languages))
    return language


def get_draft(campaign_id: int) -> Campaign:
    """Return a campaign that may be changed, locked; raise UnknownCampaign or NotEditable."""
    campaign = get_campaign(campaign_id, lock=True)
    if campaign.status is not CampaignStatus.DRAFT:
        raise NotEditable(id=campaign.id, status=campaign.status.value)
    return campaign


def get_campaign(campaign_id: int, *, lock: bool = False) -> Campaign:
    """Return a campaign; raise UnknownCampaign."""
    statement = sa.select(Campaign).where(Campaign.id == campaign_id)
    if lock:
        # What was read before the lock may have been changed while waiting for it.
        statement = statement.with_for_update(of=Campaign).execution_options(populate_existing=True)
    campaign = db.session.scalar(statement)
    if campaign is None:
        raise UnknownCampaign(id=campaign_id)
    return campaign


def within(lists: Sequence[str]) -> sa.ColumnElement[bool]:
    """Return the condition on campaigns that they go to no other lists than these."""
    elsewhere = (
        sa.exists()
        .where(CampaignList.campaign_id == Campaign.id, MailingList.id == CampaignList.list_id)
        .where(MailingList.slug.not_in(lists))
    )
    return ~elsewhere.correlate(Campaign)


def require_within(campaign_id: int, lists: Sequence[str]) -> None:
    """Raise UnknownCampaign for one that goes to other lists: to whom is limited to these, there is none."""
    if db.session.scalar(sa.select(Campaign.id).where(Campaign.id == campaign_id, within(lists))) is None:
        raise UnknownCampaign(id=campaign_id)


def lists_of(campaign: Campaign) -> Sequence[MailingList]:
    """Return the lists a campaign goes to."""
    chosen = sa.select(CampaignList.list_id).where(CampaignList.campaign_id == campaign.id)
    return db.session.scalars(
        sa.select(MailingList).where(MailingList.id.in_(chosen)).order_by(MailingList.id)
    ).all()
