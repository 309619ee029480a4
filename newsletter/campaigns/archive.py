"""The public archive: newsletters sent to public lists, without anything personal."""

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

#: Newsletters on a page of the archive or in a feed.
MAX_ISSUES = 50


class NotInArchive(NotFound):
    """Not sent, not public or non-existent: the visitor need not know which."""

    message = N_("There is no such newsletter in the archive.")


@dataclass(frozen=True, slots=True)
class Issue:
    """A sent newsletter as shown in the archive of one list."""

    campaign_id: int
    edition: Edition
    sent_at: datetime

    @property
    def posted(self) -> str:
        """The publication date in RSS format (RFC 822)."""
        return format_datetime(self.sent_at)


def archive_url_of(edition: Edition) -> str:
    """Return the archive URL of an edition; empty unless one of its lists is public."""
    if edition.campaign_id is None or not db.session.scalar(sa.select(_is_public(edition.campaign_id))):
        return ""
    return f"{current_settings().base_url}/archive/{edition.campaign_id}?lang={edition.language}"


def public_lists() -> Sequence[MailingList]:
    """Return the lists with a public archive."""
    return db.session.scalars(
        sa.select(MailingList).where(MailingList.is_public.is_(True)).order_by(MailingList.id)
    ).all()


def get_public_list(slug: str) -> MailingList:
    """Return a list with a public archive; raise NotInArchive."""
    for found in public_lists():
        if found.slug == slug:
            return found
    raise NotInArchive


def list_issues(mailing_list: MailingList) -> list[Issue]:
    """Return the newsletters sent to a list, newest first."""
    rows = db.session.scalars(
        sa.select(Campaign)
        .join(Campaign.list_ids)
        .where(CampaignList.list_id == mailing_list.id, Campaign.started_at.is_not(None))
        .options(sa.orm.selectinload(Campaign.editions))
        .order_by(Campaign.started_at.desc(), Campaign.id.desc())
        .limit(MAX_ISSUES)
    ).unique()
    return [_make_issue(campaign, mailing_list.language) for campaign in rows]


def get_issue(campaign_id: int, language: str) -> Issue:
    """Return a sent newsletter, in the given language if it has that edition; raise NotInArchive."""
    found = db.session.scalar(
        sa.select(Campaign).where(
            Campaign.id == campaign_id, Campaign.started_at.is_not(None), _is_public(campaign_id)
        )
    )
    if found is None:
        raise NotInArchive
    return _make_issue(found, language)


def _make_issue(campaign: Campaign, language: str) -> Issue:
    if campaign.started_at is None:
        raise NotInArchive
    return Issue(campaign.id, campaign.edition_for(language), campaign.started_at)


def _is_public(campaign_id: int) -> sa.ColumnElement[bool]:
    return sa.exists().where(
        CampaignList.campaign_id == campaign_id,
        MailingList.id == CampaignList.list_id,
        MailingList.is_public.is_(True),
    )
