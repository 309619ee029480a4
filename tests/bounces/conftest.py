"""What the tests of bounces share: a campaign that was accepted, and reports on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from newsletter.bounces.receive import Outcome, receive_message
from newsletter.campaigns.models import Campaign, CampaignTotals
from newsletter.db import db
from newsletter.mail.return_path import return_paths
from newsletter.sending.models import Delivery
from newsletter.subscribers.models import Subscriber
from tests.sending.conftest import make_readers, outcome, smtp_app, start
from tests.support.clock import NOW

__all__ = ["make_readers", "outcome", "smtp_app", "start"]

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.eml"))
BY_NAME = {path.stem.partition("--")[2]: path for path in CORPUS}


def report_on(return_path: str, name: str = "postfix-unknown-user", message_id: str = "x@y.example") -> bytes:
    """Return a message of the corpus that came to a return path."""
    content = BY_NAME[name].read_bytes()
    return content.replace(b"RETURN-PATH", return_path.encode()).replace(b"MESSAGE-ID", message_id.encode())


@pytest.fixture
def sent(start, make_subscriber, send_due) -> Callable[..., tuple[Campaign, Subscriber]]:
    """Send a campaign to one person, a new one on a list of their own unless named."""

    def send(person: Subscriber | None = None) -> tuple[Campaign, Subscriber]:
        person = person or make_subscriber("tilaaja@example.com")
        campaign: Campaign = start([person.subscriptions[0].mailing_list])
        send_due()
        return campaign, person

    return send


@pytest.fixture
def bounce(app) -> Callable[..., str]:
    """Take in a message of the corpus about a person's copy, and return what became of it."""

    def take(sent: tuple[Campaign, Subscriber], name: str = "postfix-unknown-user", at: Any = NOW) -> str:
        campaign, person = sent
        content = report_on(return_paths().of(campaign.id, person.id), name)
        _reading, outcome = receive_message(content, source="maildir", now=at)
        db.session.commit()
        assert isinstance(outcome, Outcome)
        return outcome.value

    return take


def status_of(sent: tuple[Campaign, Subscriber]) -> str:
    """Return what a person's delivery is now."""
    campaign, person = sent
    key = (campaign.id, person.id)
    return db.session.get_one(Delivery, key, populate_existing=True).status.value


def totals_of(campaign: Campaign, *names: str) -> tuple[int, ...]:
    """Return some of a campaign's totals."""
    totals = db.session.scalars(
        sa.select(CampaignTotals)
        .where(CampaignTotals.campaign_id == campaign.id)
        .execution_options(populate_existing=True)
    ).one()
    return tuple(getattr(totals, name) for name in names)
