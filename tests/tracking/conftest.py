"""What the tests of tracking share."""

from collections.abc import Callable

import pytest

from newsletter.campaigns.models import Campaign
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.subscribers.models import MailingList
from tests.support.clock import NOW


@pytest.fixture
def send(make_campaign, send_due) -> Callable[..., Campaign]:
    """Send a campaign to everyone on some lists."""

    def send(*lists: MailingList, **draft: str) -> Campaign:
        campaign: Campaign = make_campaign(list(lists), **draft)
        start_campaign(campaign.id, now=NOW, actor="staff:1")
        send_due()
        return campaign

    return send
