"""A draft: what makes one, and what it may not be."""

import pytest
import sqlalchemy as sa

from newsletter.campaigns.drafts import (
    DraftInvalid,
    LanguageUnknown,
    UnknownCampaign,
    get_campaign,
    get_campaign_lists,
)
from newsletter.campaigns.models import Campaign, CampaignStatus
from newsletter.db import db
from newsletter.ledger.audit import AuditEntry


def test_a_draft_keeps_what_was_written(make_campaign, make_list):
    lists = [make_list(language="en"), make_list(language="fi")]

    made = make_campaign(lists, subject="  March news ", body="Hello!\n", preview=" In short ")

    (edition,) = made.editions
    assert (edition.language, edition.subject, edition.preview, edition.body) == (
        "en", "March news", "In short", "Hello!\n",
    )  # fmt: skip
    assert (made.status, get_campaign_lists(made)) == (CampaignStatus.DRAFT, lists)


def test_a_draft_may_name_its_language(make_campaign, make_list):
    made = make_campaign([make_list(language="fi")], language="en")

    assert [edition.language for edition in made.editions] == ["en"]


def test_making_a_draft_stands_in_the_audit_log(make_campaign, now):
    made = make_campaign()

    (entry,) = db.session.scalars(sa.select(AuditEntry))
    assert (entry.at, entry.actor, entry.action, entry.object) == (
        now, "staff:1", "campaign created", f"campaign:{made.id}",
    )  # fmt: skip


def test_a_subject_of_250_characters_is_accepted(make_campaign):
    made = make_campaign(subject="ä" * 250)

    assert made.subject == "ä" * 250


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize(
    "subject",
    [
        "",
        " \t ",
        "ä" * 251,
        "Hei\r\nBcc: kaikki@example.com",
        "Hei\nsinä",
        "Hei\rsinä",
        "Hei\0sinä",
        "Hei\u2028sinä",  # a line separator
        "Hei\x85sinä",  # the next line, in some old alphabets
    ],
)
def test_a_subject_is_one_line_of_at_most_250_characters(make_campaign, subject):
    with pytest.raises(DraftInvalid):
        make_campaign(subject=subject)

    assert db.session.scalars(sa.select(Campaign)).all() == []


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize("preview", ["Lyhyesti\r\nBcc: kaikki@example.com", "Lyhyesti\0"])
def test_a_preview_is_one_line(make_campaign, preview):
    with pytest.raises(DraftInvalid):
        make_campaign(preview=preview)


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize("body", ["", " \n\t\n"])
def test_a_draft_needs_a_text(make_campaign, body):
    with pytest.raises(DraftInvalid):
        make_campaign(body=body)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_draft_needs_a_list(make_campaign):
    with pytest.raises(DraftInvalid):
        make_campaign([])


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_language_that_we_do_not_write_in_is_refused(make_campaign):
    with pytest.raises(LanguageUnknown) as refused:
        make_campaign(language="sv")

    assert str(refused.value) == "Choose one of the languages fi, en."


def test_a_campaign_of_another_number_is_not_known(app):
    with pytest.raises(UnknownCampaign) as refused:
        get_campaign(4711)

    assert str(refused.value) == "There is no campaign number 4711."
