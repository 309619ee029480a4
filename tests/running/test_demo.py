"""The demo: an empty database becomes one to look at, whose figures are true."""

from typing import Any

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import Campaign, CampaignStatus, CampaignTotals
from newsletter.db import db
from newsletter.running.demo import DatabaseNotEmpty, fill_database
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.subscribers.models import MailingList, Subscriber, TrackingState
from newsletter.tracking.classify import HUMAN_CLASSES
from newsletter.tracking.models import Event, EventKind, LinkReader, LinkTotals


def number(statement: sa.Select[*tuple[Any, ...]]) -> int:
    return int(db.session.scalar(sa.select(sa.func.count()).select_from(statement.subquery())) or 0)


def recount(campaign: Campaign) -> dict[str, int]:
    """Count again, from the rows, what the totals say."""
    deliveries = sa.select(Delivery.subscriber_id).where(Delivery.campaign_id == campaign.id)
    accepted = deliveries.where(Delivery.status == DeliveryStatus.ACCEPTED)
    found = {
        "recipients": number(deliveries),
        "accepted": number(accepted),
        "failed": number(deliveries.where(Delivery.status == DeliveryStatus.FAILED)),
        "measured": number(accepted.where(Delivery.is_measured.is_(True))),
        "unsubscribed": number(deliveries.where(Delivery.unsubscribed_at.is_not(None))),
    }
    for kind in EventKind:
        events = sa.select(Event.id, Event.subscriber_id).where(
            Event.campaign_id == campaign.id, Event.kind == kind
        )
        human = events.where(Event.machine_class.in_(HUMAN_CLASSES))
        found[f"{kind.value}s_human"] = number(human)
        found[f"{kind.value}s_machine"] = number(events.where(Event.machine_class.not_in(HUMAN_CLASSES)))
        found[f"{kind.value}s_unique"] = number(human.with_only_columns(Event.subscriber_id).distinct())
    return found


def recount_links() -> dict[tuple[int, int], tuple[int, int, int]]:
    found = {}
    for row in db.session.scalars(sa.select(LinkTotals)):
        clicks = sa.select(Event.id).where(
            Event.edition_id == row.edition_id, Event.link_number == row.number
        )
        readers = sa.select(LinkReader).where(
            LinkReader.edition_id == row.edition_id, LinkReader.number == row.number
        )
        found[row.edition_id, row.number] = (
            number(clicks.where(Event.machine_class.in_(HUMAN_CLASSES))),
            number(clicks.where(Event.machine_class.not_in(HUMAN_CLASSES))),
            number(readers),
        )
    return found


def test_it_makes_a_database_whose_totals_equal_its_rows(app, make_subscriber, now):
    made = fill_database(now)

    assert (made["lists"], made["subscribers"], made["campaigns"]) == (2, 2000, 4)
    assert number(sa.select(Event)) == made["opens and clicks"]
    campaigns = db.session.scalars(sa.select(Campaign)).all()
    for campaign in campaigns:
        totals = db.session.get_one(CampaignTotals, campaign.id, populate_existing=True)
        found = recount(campaign)
        assert {name: getattr(totals, name) for name in found} == found
    stored = db.session.scalars(sa.select(LinkTotals).execution_options(populate_existing=True))
    assert {
        (row.edition_id, row.number): (row.human, row.machine, row.unique_human) for row in stored
    } == recount_links()
    assert {campaign.status for campaign in campaigns} == {CampaignStatus.SENT}
    readers = sa.select(Subscriber.tracking).where(Subscriber.id.in_(sa.select(Event.subscriber_id)))
    assert set(db.session.scalars(readers)) == {TrackingState.GRANTED}
    assert make_subscriber().id > 2000  # and life goes on


def test_it_never_mixes_with_real_people(app, make_subscriber, now):
    make_subscriber()

    with pytest.raises(DatabaseNotEmpty) as refused:
        fill_database(now)

    assert str(refused.value) == "The database already has subscribers; the demo fills an empty one only."
    assert (number(sa.select(Subscriber)), number(sa.select(Campaign))) == (1, 0)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_house_of_one_language_has_a_demo_too(app, make_app, now):
    with make_app(languages="fi").app_context():
        made = fill_database(now)

    assert (made["lists"], number(sa.select(MailingList))) == (1, 1)
