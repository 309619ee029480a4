"""The start of a campaign: who gets it, once, in which language, and when it is refused."""

import pytest
import sqlalchemy as sa

from newsletter.campaigns.drafts import UnknownCampaign
from newsletter.campaigns.models import CampaignStatus, Edition
from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.sending.lifecycle.preflight import SenderIncomplete
from newsletter.sending.lifecycle.start import AudienceEmpty, NotADraft, start_campaign
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.subscribers.models import SubscriptionStatus, SuppressionReason
from newsletter.subscribers.suppressions import suppress
from newsletter.tracking.models import Link
from tests.support.clock import NOW

# --- who gets it -----------------------------------------------------------------------------------


def test_everyone_confirmed_on_the_lists_gets_one_delivery(start, make_list, make_subscriber, statuses):
    fi, en, other = make_list(), make_list(), make_list()
    make_subscriber("aino@example.com", [fi])
    make_subscriber("eino@example.com", [en, fi])
    make_subscriber("iines@example.com", [other])

    campaign = start([fi, en])

    assert statuses(campaign) == {"aino@example.com": "queued", "eino@example.com": "queued"}
    assert campaign.totals.recipients == 2


def test_who_is_on_several_lists_gets_it_on_behalf_of_the_oldest(start, make_list, make_subscriber):
    lists = [make_list(), make_list(), make_list()]
    make_subscriber(lists=lists[1:])

    start(lists)

    assert db.session.scalars(sa.select(Delivery.list_id)).all() == [lists[1].id]


@pytest.mark.parametrize("status", [SubscriptionStatus.PENDING, SubscriptionStatus.UNSUBSCRIBED])
def test_who_is_not_confirmed_is_left_out(start, make_list, make_subscriber, statuses, status):
    fi = make_list()
    make_subscriber("aino@example.com", [fi])
    make_subscriber("eino@example.com", [fi], status=status)

    campaign = start([fi])

    assert statuses(campaign) == {"aino@example.com": "queued"}


@pytest.mark.parametrize("reason", SuppressionReason)
def test_who_must_not_be_written_to_is_left_out(start, make_list, make_subscriber, statuses, reason):
    fi = make_list()
    make_subscriber("aino@example.com", [fi])
    make_subscriber("Eino@example.com", [fi])
    suppress("eino@example.com", reason, NOW)

    campaign = start([fi])

    assert statuses(campaign) == {"aino@example.com": "queued"}


def test_rd7_whose_processing_is_restricted_is_left_out(start, make_list, make_subscriber, statuses, now):
    fi = make_list()
    make_subscriber("aino@example.com", [fi])
    make_subscriber("eino@example.com", [fi], restricted_at=now)

    campaign = start([fi])

    assert statuses(campaign) == {"aino@example.com": "queued"}


def test_each_gets_their_own_language_or_the_first(start, make_campaign, make_list, make_subscriber):
    fi, en = make_list(language="fi"), make_list(language="en")
    people = [make_subscriber(lists=[fi], language=language) for language in ("fi", "en", "sv")]
    campaign = make_campaign([fi, en])
    campaign.editions.append(Edition(language="en", subject="March news", body="Hello!"))

    start(campaign=campaign)

    finnish, english = campaign.editions
    rows = db.session.execute(
        sa.select(Delivery.subscriber_id, Delivery.edition_id).order_by(Delivery.subscriber_id)
    )
    assert [tuple(row) for row in rows] == [
        (people[0].id, finnish.id),
        (people[1].id, english.id),
        (people[2].id, finnish.id),
    ]


# --- what it does ----------------------------------------------------------------------------------


def test_starting_freezes_the_editions_and_tells_the_log(start, make_list, make_subscriber, now):
    fi = make_list()
    make_subscriber(lists=[fi])

    campaign = start([fi])

    assert (campaign.status, campaign.started_at) == (CampaignStatus.SENDING, now)
    assert db.session.scalars(sa.select(Link.url)).all() == ["https://www.kirjakauppa.example/uutiset"]
    entry = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "campaign sent")).one()
    assert (entry.actor, entry.object, entry.details) == (
        "staff:1",
        f"campaign:{campaign.id}",
        {"recipients": 1},
    )


def test_changing_the_text_afterwards_changes_no_mail(start, make_list, make_subscriber, send_due, outgoing):
    fi = make_list()
    make_subscriber(lists=[fi])
    campaign = start([fi], subject="Maaliskuun uutiset")

    campaign.editions[0].subject = "Huhtikuun uutiset"
    send_due()

    assert outgoing.last["Subject"] == "Maaliskuun uutiset"


def test_who_joins_after_the_start_waits_for_the_next_one(start, make_list, make_subscriber, statuses):
    fi = make_list()
    make_subscriber("aino@example.com", [fi])
    campaign = start([fi])

    make_subscriber("eino@example.com", [fi])

    assert statuses(campaign) == {"aino@example.com": "queued"}


# --- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", [status for status in CampaignStatus if status is not CampaignStatus.DRAFT]
)
def test_only_a_draft_can_be_sent(start, make_campaign, make_list, make_subscriber, statuses, status):
    fi = make_list()
    make_subscriber(lists=[fi])
    campaign = make_campaign([fi])
    campaign.status = status

    with pytest.raises(NotADraft) as refused:
        start(campaign=campaign)

    assert str(refused.value) == f"Campaign {campaign.id} is {status.value}: only a draft can be sent."
    assert statuses(campaign) == {}


def test_sending_twice_is_refused_and_changes_nothing(start, make_list, make_subscriber, statuses):
    fi = make_list()
    make_subscriber("aino@example.com", [fi])
    campaign = start([fi])
    make_subscriber("eino@example.com", [fi])

    with pytest.raises(NotADraft):
        start(campaign=campaign)

    assert statuses(campaign) == {"aino@example.com": "queued"}


def test_an_unknown_campaign_is_refused(app, now):
    with pytest.raises(UnknownCampaign):
        start_campaign(4711, now=now, actor="console")


def test_a_campaign_without_recipients_stays_a_draft(
    start, make_campaign, make_list, make_subscriber, statuses
):
    fi = make_list()
    campaign = make_campaign([fi])

    with pytest.raises(AudienceEmpty):
        start(campaign=campaign)
    db.session.rollback()
    make_subscriber("aino@example.com", [fi])
    start(campaign=campaign)

    assert statuses(campaign) == {"aino@example.com": "queued"}


@pytest.mark.parametrize(
    "name", ["sender_name", "sender_address", "sender_postal", "sender_business_id", "privacy_contact"]
)
def test_mf7_a_sender_must_be_named_once_the_pages_are_public(
    make_app, make_campaign, make_list, make_subscriber, statuses, now, name
):
    fi = make_list()
    make_subscriber(lists=[fi])
    campaign = make_campaign([fi])
    with make_app(base_url="https://uutiset.kirjakauppa.example", **{name: ""}).app_context():
        with pytest.raises(SenderIncomplete) as refused:
            start_campaign(campaign.id, now=now, actor="staff:1")
        db.session.rollback()

    assert refused.value.values == {"names": f"NEWSLETTER_{name.upper()}"}
    assert statuses(campaign) == {}


def test_trying_out_on_this_machine_needs_no_sender(
    make_app, make_campaign, make_list, make_subscriber, statuses, now
):
    fi = make_list()
    make_subscriber("aino@example.com", [fi])
    campaign = make_campaign([fi])
    nameless = dict.fromkeys(["sender_name", "sender_postal", "sender_business_id", "privacy_contact"], "")

    with make_app(base_url="http://localhost:8000", **nameless).app_context():
        start_campaign(campaign.id, now=now, actor="staff:1")
        db.session.commit()

    assert statuses(campaign) == {"aino@example.com": "queued"}


def test_sb1_a_delivery_begins_queued_and_untried(start, make_list, make_subscriber):
    fi = make_list()
    reader = make_subscriber(lists=[fi])

    campaign = start([fi])

    row = db.session.get_one(Delivery, (campaign.id, reader.id))
    assert (row.status, row.attempts, row.due_at, row.leased_by, row.is_measured) == (
        DeliveryStatus.QUEUED, 0, None, None, False,
    )  # fmt: skip
