"""The archive: what went to a public list may be read by everybody, without anything personal."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

import sqlalchemy as sa

from newsletter.campaigns.models import Campaign, CampaignList, Edition
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.errors import N_, NotFound
from newsletter.subscribers.models import MailingList

#: How many newsletters a page of the archive or a feed shows.
SHOWN = 50


class NotInArchive(NotFound):
    """Not sent, not public, or not there at all: a visitor need not know which."""

    message = N_("There is no such newsletter in the archive.")


@dataclass(frozen=True, slots=True)
class Issue:
    """A newsletter as one public list had it."""

    campaign_id: int
    edition: Edition
    sent_at: datetime

    @property
    def posted(self) -> str:
        """When it went out, as RSS writes it (RFC 822)."""
        return format_datetime(self.sent_at)


def address_of(edition: Edition) -> str:
    """Return where an edition can be read in a browser; empty unless one of its lists is public."""
    if edition.campaign_id is None or not db.session.scalar(sa.select(_is_public(edition.campaign_id))):
        return ""
    return f"{current_settings().base_url}/archive/{edition.campaign_id}?lang={edition.language}"


def public_lists() -> Sequence[MailingList]:
    """Return the lists that have an archive."""
    return db.session.scalars(
        sa.select(MailingList).where(MailingList.is_public.is_(True)).order_by(MailingList.id)
    ).all()


def get_public_list(slug: str) -> MailingList:
    """Return a list that has an archive; raise NotInArchive."""
    for found in public_lists():
        if found.slug == slug:
            return found
    raise NotInArchive


def issues_of(mailing_list: MailingList) -> list[Issue]:
    """Return what a list got, newest first."""
    rows = db.session.scalars(
        sa.select(Campaign)
        .join(Campaign.list_ids)
        .where(CampaignList.list_id == mailing_list.id, Campaign.started_at.is_not(None))
        .options(sa.orm.selectinload(Campaign.editions))
        .order_by(Campaign.started_at.desc(), Campaign.id.desc())
        .limit(SHOWN)
    ).unique()
    return [_issue(campaign, mailing_list.language) for campaign in rows]


def get_issue(campaign_id: int, language: str) -> Issue:
    """Return what went out, in a language if it was written in that; raise NotInArchive."""
    found = db.session.scalar(
        sa.select(Campaign).where(
            Campaign.id == campaign_id, Campaign.started_at.is_not(None), _is_public(campaign_id)
        )
    )
    if found is None:
        raise NotInArchive
    return _issue(found, language)


def _issue(campaign: Campaign, language: str) -> Issue:
    if campaign.started_at is None:
        raise NotInArchive
    return Issue(campaign.id, campaign.edition_for(language), campaign.started_at)


def _is_public(campaign_id: int) -> sa.ColumnElement[bool]:
    return sa.exists().where(
        CampaignList.campaign_id == campaign_id,
        MailingList.id == CampaignList.list_id,
        MailingList.is_public.is_(True),
    )
