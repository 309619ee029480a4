"""Edits drafts with optimistic locking: a save names the version it is based on."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from newsletter.campaigns.drafts import (
    DraftInvalid,
    create_draft,
    get_campaign,
    get_campaign_lists,
    get_draft,
    validate_language,
    validate_subject,
)
from newsletter.campaigns.models import Campaign, CampaignList, Edition
from newsletter.db import db, execute_dml
from newsletter.errors import N_, NewsletterError, NotFound
from newsletter.ledger import audit
from newsletter.subscribers.models import MailingList

#: Characters; far more than mailboxes show without clipping.
MAX_BODY_LENGTH = 100_000


class EditionConflict(NewsletterError):
    """Another version was saved meanwhile; ``edition`` is the stored one."""

    message = N_("Somebody else has saved this edition since you opened it. Nothing of yours is lost yet.")

    def __init__(self, edition: Edition) -> None:
        self.edition = edition
        super().__init__()


class UnknownEdition(NotFound):
    """The campaign has no edition in that language."""

    message = N_("The campaign has no edition in that language.")


class EditionExists(NewsletterError):
    """The campaign has an edition in that language already."""

    message = N_("There is already an edition in that language.")


class LastEdition(NewsletterError):
    """The only edition cannot be removed."""

    message = N_("A campaign keeps its only edition.")


class WordsNotThere(NewsletterError):
    """Nobody can have meant what is not written."""

    message = N_("“%(words)s” stands nowhere in this edition.")


class BodyTooLong(NewsletterError):
    """The text is longer than MAX_BODY_LENGTH."""

    message = N_("The text is too long: at most 100,000 characters can be saved.")


def get_edition(campaign: Campaign, language: str) -> Edition:
    """Return the edition in a language; raise UnknownEdition."""
    for edition in campaign.editions:
        if edition.language == language:
            return edition
    raise UnknownEdition


def save_edition(
    campaign_id: int,
    language: str,
    *,
    version: int,
    subject: str,
    preview: str,
    body: str,
    now: datetime,
    actor: str,
) -> Edition:
    """Save an edition over the version that the writer saw.

    Raises EditionConflict, with the stored edition, when another version was saved meanwhile; saving the same
    content again is no conflict and changes nothing. The text may be empty.
    """
    campaign = get_draft(campaign_id)
    edition = get_edition(campaign, language)
    subject, preview = validate_subject(subject, preview), preview.strip()
    body = body.replace("\r\n", "\n")
    if len(body) > MAX_BODY_LENGTH:
        raise BodyTooLong
    if (edition.subject, edition.preview, edition.body) == (subject, preview, body):
        return edition
    saved = execute_dml(
        sa.update(Edition)
        .where(Edition.id == edition.id, Edition.version == version)
        .values(
            subject=subject, preview=preview, body=body, version=version + 1, saved_at=now, saved_by=actor
        )
    )
    db.session.refresh(edition)
    if not saved:
        raise EditionConflict(edition)
    campaign.proposed_by = campaign.scheduled_at = None  # the approval was for the old content
    # One audit entry for the first save: autosave would write one every few seconds.
    if version == 1:
        audit.record(
            "edition written", actor=actor, now=now, object=f"campaign:{campaign.id}", edition=language
        )
    return edition


def add_edition(campaign_id: int, language: str, *, now: datetime, actor: str) -> Edition:
    """Add an edition in another language, with the subject of the first one and no text.

    Raises LanguageUnknown or EditionExists.
    """
    campaign = get_draft(campaign_id)
    validate_language(language)
    if any(edition.language == language for edition in campaign.editions):
        raise EditionExists
    made = Edition(language=language, subject=campaign.subject, preview="", body="")
    campaign.editions.append(made)
    campaign.proposed_by = campaign.scheduled_at = None
    db.session.flush()
    audit.record("edition added", actor=actor, now=now, object=f"campaign:{campaign.id}", edition=language)
    return made


def remove_edition(campaign_id: int, language: str, *, now: datetime, actor: str) -> Campaign:
    """Delete an edition of a draft; raise UnknownEdition or LastEdition."""
    campaign = get_draft(campaign_id)
    edition = get_edition(campaign, language)
    if len(campaign.editions) == 1:
        raise LastEdition
    campaign.editions.remove(edition)
    db.session.delete(edition)
    campaign.proposed_by = campaign.scheduled_at = None
    audit.record("edition removed", actor=actor, now=now, object=f"campaign:{campaign.id}", edition=language)
    return campaign


def change_lists(campaign_id: int, lists: Sequence[MailingList], *, now: datetime, actor: str) -> Campaign:
    """Set the lists of a draft; raise DraftInvalid when there are none."""
    campaign = get_draft(campaign_id)
    if not lists:
        raise DraftInvalid
    wanted = {mailing_list.id for mailing_list in lists}
    if wanted == {item.list_id for item in campaign.list_ids}:
        return campaign
    execute_dml(sa.delete(CampaignList).where(CampaignList.campaign_id == campaign.id))
    db.session.add_all(CampaignList(campaign_id=campaign.id, list_id=list_id) for list_id in sorted(wanted))
    db.session.flush()
    db.session.expire(campaign, ["list_ids"])
    campaign.proposed_by = campaign.scheduled_at = None
    audit.record("campaign lists changed", actor=actor, now=now, object=f"campaign:{campaign.id}")
    return campaign


def confirm_words(campaign_id: int, language: str, words: str, *, now: datetime, actor: str) -> Edition:
    """Say that words which look like a placeholder are what readers shall see, in this edition of a draft.

    Raises UnknownEdition or WordsNotThere.
    """
    edition = get_edition(get_draft(campaign_id), language)
    if not words or not any(words in part for part in (edition.subject, edition.preview, edition.body)):
        raise WordsNotThere(words=words)
    if words not in edition.confirmed_words:
        edition.confirmed_words = [*edition.confirmed_words, words]
        about = f"campaign:{campaign_id}"
        audit.record("words confirmed", actor=actor, now=now, object=about, edition=language, words=words)
    return edition


def duplicate_campaign(campaign_id: int, *, now: datetime, actor: str) -> Campaign:
    """Create a draft with the content and lists of a campaign in any status."""
    source = get_campaign(campaign_id)
    first, *others = source.editions
    made = create_draft(
        get_campaign_lists(source),
        subject=first.subject,
        body=first.body,
        preview=first.preview,
        language=first.language,
        now=now,
        actor=actor,
    )
    for edition in others:
        copy = Edition(language=edition.language, subject=edition.subject, preview=edition.preview)
        copy.body = edition.body
        made.editions.append(copy)
    db.session.flush()
    return made
