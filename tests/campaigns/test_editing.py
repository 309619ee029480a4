"""Changing a draft: nobody's words are lost unseen."""

import pytest
import sqlalchemy as sa

from newsletter.campaigns.drafts import DraftInvalid, LanguageUnknown, NotEditable, get_campaign_lists
from newsletter.campaigns.editing import (
    BodyTooLong,
    EditionConflict,
    EditionExists,
    LastEdition,
    UnknownEdition,
    add_edition,
    change_lists,
    duplicate_campaign,
    remove_edition,
    save_edition,
)
from newsletter.campaigns.models import Campaign, CampaignStatus, Edition
from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from tests.support.clock import NOW


@pytest.fixture
def save(app):
    """Save the Finnish edition: ``save(campaign, body="Hei", version=1)``."""

    def save(campaign, version=1, subject="Uutiset", preview="", body="Hei!", actor="staff:1"):
        return save_edition(
            campaign.id, "fi", version=version, subject=subject, preview=preview, body=body,
            now=NOW, actor=actor,
        )  # fmt: skip

    return save


def test_saving_counts_versions_and_remembers_who(make_campaign, save):
    campaign = make_campaign()

    saved = save(campaign, subject=" Uutiset ", preview=" Lyhyesti ", body="Hei\r\nsinä", actor="staff:7")

    assert (saved.subject, saved.preview, saved.body) == ("Uutiset", "Lyhyesti", "Hei\nsinä")
    assert (saved.version, saved.saved_at, saved.saved_by) == (2, NOW, "staff:7")


def test_whoever_saves_over_a_newer_version_is_told_and_changes_nothing(make_campaign, save):
    campaign = make_campaign()
    save(campaign, body="Ensimmäisen sanat")

    with pytest.raises(EditionConflict) as refused:
        save(campaign, version=1, body="Toisen sanat", actor="staff:2")

    assert (refused.value.edition.body, refused.value.edition.version) == ("Ensimmäisen sanat", 2)
    assert db.session.scalars(sa.select(Edition.body)).all() == ["Ensimmäisen sanat"]


def test_having_seen_the_newer_version_one_may_save_over_it(make_campaign, save):
    campaign = make_campaign()
    save(campaign, body="Ensimmäisen sanat")

    assert save(campaign, version=2, body="Toisen sanat").version == 3


def test_the_same_words_again_are_no_conflict(make_campaign, save):
    campaign = make_campaign()
    save(campaign, body="Hei!")

    assert save(campaign, version=1, body="Hei!").version == 2


def test_the_text_may_be_empty_while_it_is_written(make_campaign, save):
    assert save(make_campaign(), body="").body == ""


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize("subject", ["", "  ", "ä" * 251, "Hei\r\nBcc: kaikki@example.com", "Hei\0"])
def test_mf3_a_subject_that_would_make_a_header_is_not_saved(make_campaign, save, subject):
    campaign = make_campaign()

    with pytest.raises(DraftInvalid):
        save(campaign, subject=subject)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_text_without_end_is_not_saved(make_campaign, save):
    with pytest.raises(BodyTooLong):
        save(make_campaign(), body="x" * 100_001)


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize(
    "status", [status for status in CampaignStatus if status is not CampaignStatus.DRAFT]
)
def test_only_a_draft_can_be_changed(make_campaign, save, status):
    campaign = make_campaign()
    campaign.status = status
    db.session.flush()

    for change in (
        lambda: save(campaign),
        lambda: add_edition(campaign.id, "en", now=NOW, actor="staff:1"),
        lambda: change_lists(campaign.id, get_campaign_lists(campaign), now=NOW, actor="staff:1"),
    ):
        with pytest.raises(NotEditable):
            change()


def test_an_edition_in_another_language_begins_without_text(make_campaign):
    campaign = make_campaign(subject="Uutiset")

    made = add_edition(campaign.id, "en", now=NOW, actor="staff:1")

    assert (made.language, made.subject, made.body) == ("en", "Uutiset", "")
    with pytest.raises(EditionExists):
        add_edition(campaign.id, "en", now=NOW, actor="staff:1")
    with pytest.raises(LanguageUnknown):
        add_edition(campaign.id, "sv", now=NOW, actor="staff:1")


def test_an_edition_can_be_removed_but_not_the_last(make_campaign):
    campaign = make_campaign()
    add_edition(campaign.id, "en", now=NOW, actor="staff:1")

    remove_edition(campaign.id, "fi", now=NOW, actor="staff:1")
    db.session.commit()

    assert db.session.scalars(sa.select(Edition.language)).all() == ["en"]
    with pytest.raises(LastEdition):
        remove_edition(campaign.id, "en", now=NOW, actor="staff:1")
    with pytest.raises(UnknownEdition):
        remove_edition(campaign.id, "fi", now=NOW, actor="staff:1")


def test_a_draft_may_go_to_other_lists_but_not_to_none(make_campaign, make_list):
    campaign, other = make_campaign(), make_list()

    change_lists(campaign.id, [other], now=NOW, actor="staff:1")

    assert get_campaign_lists(campaign) == [other]
    with pytest.raises(DraftInvalid):
        change_lists(campaign.id, [], now=NOW, actor="staff:1")


def test_a_copy_has_the_words_and_lists_and_is_a_draft_of_its_own(make_campaign):
    source = make_campaign(subject="Uutiset", body="Hei!")
    add_edition(source.id, "en", now=NOW, actor="staff:1").body = "Hello!"
    source.status = CampaignStatus.SENT
    db.session.flush()

    made = duplicate_campaign(source.id, now=NOW, actor="staff:1")
    db.session.commit()

    assert made.id != source.id
    assert (made.status, made.started_at, get_campaign_lists(made)) == (
        CampaignStatus.DRAFT,
        None,
        get_campaign_lists(source),
    )
    assert [(item.language, item.subject, item.body, item.version) for item in made.editions] == [
        ("fi", "Uutiset", "Hei!", 1),
        ("en", "Uutiset", "Hello!", 1),
    ]
    made.editions[0].body = "Moi!"
    assert source.editions[0].body == "Hei!"


def test_a_change_takes_back_what_somebody_asked_for(make_campaign, save):
    campaign = make_campaign()
    campaign.proposed_by, campaign.scheduled_at = "staff:1", NOW
    db.session.flush()

    save(campaign, body="Toista")

    found = db.session.scalars(sa.select(Campaign)).unique().one()
    assert (found.proposed_by, found.scheduled_at) == (None, None)


def test_each_act_stands_in_the_audit_log_and_autosaving_once(make_campaign, make_list, save):
    campaign = make_campaign()
    save(campaign, body="a")
    save(campaign, version=2, body="b")
    add_edition(campaign.id, "en", now=NOW, actor="staff:1")
    remove_edition(campaign.id, "en", now=NOW, actor="staff:1")
    change_lists(campaign.id, [make_list()], now=NOW, actor="staff:1")

    entries = db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [entry.action for entry in entries] == [
        "campaign created", "edition written", "edition added", "edition removed", "campaign lists changed",
    ]  # fmt: skip
