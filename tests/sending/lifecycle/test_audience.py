"""Whom a campaign reaches and whom it leaves out: counted as it is enqueued."""

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import Edition
from newsletter.db import db
from newsletter.sending.lifecycle.audience import audience_of
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.subscribers.models import SubscriptionStatus, SuppressionReason
from newsletter.subscribers.suppressions import suppress
from tests.support.clock import NOW


@pytest.fixture
def crowd(make_list, make_subscriber):
    """Two lists, and people of every kind on them."""
    fi, en = make_list(), make_list(language="en")
    make_subscriber("a@example.com", [fi])
    make_subscriber("b@example.com", [fi, en])
    make_subscriber("c@example.com", [en])
    make_subscriber("d@example.com", [fi], status=SubscriptionStatus.PENDING)
    make_subscriber("e@example.com", [fi, en], status=SubscriptionStatus.UNSUBSCRIBED)
    make_subscriber("f@example.com", [en], restricted_at=NOW)
    make_subscriber("g@example.com", [fi])
    suppress("g@example.com", SuppressionReason.BOUNCED, NOW)
    make_subscriber("h@example.com")
    return fi, en


def test_each_list_says_who_gets_it_and_who_is_left_out_and_why(crowd, make_campaign):
    audience = audience_of(make_campaign(list(crowd)))

    assert [(item.gets, item.by_language, item.left_out) for item in audience.lists] == [
        (2, {"fi": 2}, {"unconfirmed": 1, "left": 1, "suppressed": 1, "restricted": 0}),
        (2, {"en": 1, "fi": 1}, {"unconfirmed": 0, "left": 1, "suppressed": 0, "restricted": 1}),
    ]


def test_each_person_counts_once_however_many_lists_they_are_on(crowd, make_campaign):
    audience = audience_of(make_campaign(list(crowd)))

    assert (audience.recipients, audience.spared) == (3, 1)
    assert audience.by_language == {"en": 1, "fi": 2}


def test_a_missing_edition_is_made_up_for_by_the_first(crowd, make_campaign):
    campaign = make_campaign(list(crowd))
    assert audience_of(campaign).by_edition == {"fi": 3}

    campaign.editions.append(Edition(language="en", subject="News", body="Hello!"))
    db.session.flush()

    assert audience_of(campaign).by_edition == {"fi": 2, "en": 1}


def test_exactly_those_counted_are_written_to(crowd, make_campaign):
    campaign = make_campaign(list(crowd))
    counted = audience_of(campaign).recipients

    start_campaign(campaign.id, now=NOW, actor="staff:1")

    assert campaign.totals.recipients == counted == 3


def test_it_takes_the_same_few_questions_however_many_lists(make_list, make_campaign, app):
    few, many = make_campaign([make_list()]), make_campaign([make_list() for _number in range(9)])

    def questions(campaign):
        asked = []
        listener = lambda *_args: asked.append(1)  # noqa: E731
        sa.event.listen(db.engine, "before_cursor_execute", listener)
        try:
            audience_of(campaign)
        finally:
            sa.event.remove(db.engine, "before_cursor_execute", listener)
        return len(asked)

    questions(few), questions(many)  # what is known of a campaign is asked for once
    assert questions(few) == questions(many) == 3
