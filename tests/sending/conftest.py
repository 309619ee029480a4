"""What the tests of sending share: campaigns on their way, and what became of each delivery."""

from collections import Counter
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from flask import Flask

from newsletter.campaigns.models import Campaign, CampaignTotals
from newsletter.db import db
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.sending.models import Delivery
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.models import MailingList, Subscriber, Subscription, SubscriptionStatus
from tests.support.clock import NOW
from tests.support.smtp import SmtpServer


@pytest.fixture
def start(make_campaign) -> Callable[..., Campaign]:
    """Start a campaign to some lists, or one already made."""

    def start(
        lists: list[MailingList] | None = None, campaign: Campaign | None = None, **draft: str
    ) -> Campaign:
        campaign = campaign or make_campaign(lists, **draft)
        start_campaign(campaign.id, now=NOW, actor="staff:1")
        db.session.commit()
        return campaign

    return start


@pytest.fixture
def smtp_app(make_app, smtp_server: SmtpServer) -> Flask:
    """The application of the test, sending through ``smtp_server``."""
    app: Flask = make_app(**smtp_server.settings)
    return app


@pytest.fixture
def statuses(app) -> Callable[[Campaign], dict[str, str]]:
    """Read what became of a campaign's deliveries, by address."""

    def read(campaign: Campaign) -> dict[str, str]:
        rows = db.session.execute(
            sa.select(Subscriber.address, Delivery.status)
            .join(Delivery, Delivery.subscriber_id == Subscriber.id)
            .where(Delivery.campaign_id == campaign.id)
            .order_by(Delivery.subscriber_id)
        )
        return {address: status.value for address, status in rows}

    return read


@pytest.fixture
def outcome(app) -> Callable[[Campaign], dict[str, int]]:
    """Count a campaign's deliveries by status, and hold that its totals say the same."""

    def read(campaign: Campaign) -> dict[str, int]:
        rows = db.session.scalars(sa.select(Delivery.status).where(Delivery.campaign_id == campaign.id)).all()
        counted = Counter(status.value for status in rows)
        totals = db.session.get_one(CampaignTotals, campaign.id, populate_existing=True)
        settled = ("accepted", "failed", "skipped", "uncertain")
        assert {name: getattr(totals, name) for name in settled} == {name: counted[name] for name in settled}
        assert totals.recipients == len(rows)
        return dict(counted)

    return read


@pytest.fixture
def make_readers(app) -> Callable[[MailingList, int], list[str]]:
    """Put many confirmed people on a list at once, and return their addresses."""

    def make(mailing_list: MailingList, number: int) -> list[str]:
        addresses = [f"lukija{position:03}@example.com" for position in range(number)]
        people = [
            {"address": address, "address_key": address, "address_hash": hash_address(address),
             "language": "fi", "created_at": NOW}
            for address in addresses
        ]  # fmt: skip
        ids = db.session.scalars(sa.insert(Subscriber).returning(Subscriber.id), people).all()
        confirmed = {"list_id": mailing_list.id, "status": SubscriptionStatus.CONFIRMED, "created_at": NOW}
        db.session.execute(sa.insert(Subscription), [confirmed | {"subscriber_id": number} for number in ids])
        db.session.commit()
        return addresses

    return make
