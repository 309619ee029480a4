"""``If-Match``: a write is held to what the program has seen, so that nothing unseen is written over."""

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import CampaignStatus
from newsletter.db import db
from newsletter.subscribers.models import Subscription, SubscriptionStatus

WORDS = {"subject": "Toinen otsikko", "body": "Toinen teksti"}


@pytest.fixture
def edition(make_campaign) -> str:
    return f"/campaigns/{make_campaign().id}/editions/fi"


def test_an_edition_is_written_over_what_was_read(call, edition):
    seen = call(edition)

    written = call(edition, WORDS, method="PUT", If_Match=seen.headers["ETag"])

    assert (written.status_code, written.json["body"]) == (200, "Toinen teksti")
    assert call(edition).json == written.json
    assert call(edition).headers["ETag"] != seen.headers["ETag"]


def test_what_somebody_else_wrote_meanwhile_is_not_written_over(call, edition):
    seen = call(edition).headers["ETag"]
    call(edition, WORDS, method="PUT", If_Match=seen)

    late = call(edition, {"subject": "Kolmas", "body": "Kolmas"}, method="PUT", If_Match=seen)

    assert (late.status_code, late.json["code"]) == (412, "precondition_failed")
    assert call(edition).json["subject"] == "Toinen otsikko"


def test_an_edition_is_never_written_over_unseen(call, edition):
    blind = call(edition, WORDS, method="PUT")

    assert (blind.status_code, blind.json["code"]) == (428, "precondition_required")
    assert call(edition).json["subject"] == "Maaliskuun uutiset"


def test_what_is_on_its_way_is_not_written_any_more(call, edition, make_list, make_subscriber):
    etag = call(edition).headers["ETag"]
    number = edition.split("/")[2]
    make_subscriber(lists=[make_list("muu")])
    db.session.execute(sa.text("UPDATE campaigns SET status = 'sent'"))
    db.session.commit()

    assert call(edition, WORDS, method="PUT", If_Match=etag).json["code"] == "not_editable"
    assert call(f"/campaigns/{number}/editions/sv").json["code"] == "unknown_edition"


def test_a_campaign_is_sent_as_it_was_seen(call, make_list, make_subscriber, make_campaign):
    mailing_list = make_list()
    make_subscriber(lists=[mailing_list])
    campaign = make_campaign([mailing_list])
    path = f"/campaigns/{campaign.id}"
    seen = call(path).headers["ETag"]

    refused = call(f"{path}/send", {}, If_Match='"another"')

    assert (refused.status_code, campaign.status) == (412, CampaignStatus.DRAFT)
    assert call(f"{path}/send", {}, If_Match=seen).status_code == 202


def test_a_person_leaves_as_they_were_seen(call, make_list, make_subscriber):
    person = make_subscriber(lists=[make_list()])
    path = f"/subscribers/{person.id}"
    seen = call(path).headers["ETag"]

    assert call(f"{path}/unsubscribe", {}, If_Match='"another"').status_code == 412
    assert db.session.scalars(sa.select(Subscription.status)).one() is SubscriptionStatus.CONFIRMED
    assert call(f"{path}/unsubscribe", {}, If_Match=seen).status_code == 200
    assert call(f"{path}/unsubscribe", {}, If_Match=seen).status_code == 412
