"""SB-7: staff are warned, then a campaign stops before mailbox providers stop us."""

import pytest

from newsletter.bounces.receive import receive_message
from newsletter.bounces.reputation_guard import Limit, find_limit_findings, pause_if_needed
from newsletter.db import db
from newsletter.mail.return_path import return_paths
from newsletter.sending.lifecycle.control import pause, resume
from newsletter.subscribers.models import Subscriber
from tests.bounces.conftest import report_on


@pytest.fixture
def under_way(start, make_list, make_readers, now):
    """A campaign on its way, with the totals that the story wants."""

    def make(**totals):
        fi = make_list()
        make_readers(fi, 12)
        campaign = start([fi])
        for name, number in totals.items():
            setattr(campaign.totals, name, number)
        db.session.commit()
        return campaign

    return make


@pytest.mark.parametrize(
    ("totals", "warned", "stopped"),
    [
        ({"accepted": 10_000, "complained": 9}, [], False),
        ({"accepted": 10_000, "complained": 10}, [Limit.COMPLAINTS], False),
        ({"accepted": 10_000, "complained": 29}, [Limit.COMPLAINTS], False),
        ({"accepted": 10_000, "complained": 30}, [Limit.COMPLAINTS], True),
        ({"accepted": 20, "complained": 1}, [Limit.COMPLAINTS], False),
        ({"accepted": 20, "complained": 2}, [Limit.COMPLAINTS], True),
        ({"accepted": 300, "bounced": 12}, [], False),
        ({"accepted": 300, "bounced": 13}, [Limit.BOUNCES], False),
        ({"accepted": 300, "bounced": 20, "failed": 5}, [Limit.BOUNCES], True),
        ({"accepted": 10_000, "bounced": 499}, [Limit.BOUNCES], False),
        ({"accepted": 10_000, "bounced": 500}, [Limit.BOUNCES], True),
    ],
)
def test_sb7_warns_first_and_stops_then(under_way, now, totals, warned, stopped):
    campaign = under_way(**totals)

    assert [danger.limit for danger in find_limit_findings(now)] == warned
    assert pause_if_needed(now) == ([campaign.id] if stopped else [])

    db.session.refresh(campaign)
    assert campaign.status.value == ("paused" if stopped else "sending")
    assert campaign.pause_reason == (warned[0].value if stopped else None)


def test_who_resumes_has_decided(under_way, now):
    campaign = under_way(accepted=10_000, complained=40)
    pause_if_needed(now)

    resume(campaign.id, now=now, actor="staff:1")
    db.session.commit()

    assert pause_if_needed(now) == []


def test_who_has_decided_and_pauses_by_hand_is_not_asked_again(under_way, now):
    campaign = under_way(accepted=10_000, complained=40, bounced=600)
    stops = []
    for _limit in range(2):
        pause_if_needed(now)
        db.session.refresh(campaign)
        stops.append(campaign.pause_reason)
        resume(campaign.id, now=now, actor="staff:1")
        pause(campaign.id, now=now, actor="staff:1")
        resume(campaign.id, now=now, actor="staff:1")
        db.session.commit()

    assert stops == ["complaints", "bounces"]
    assert pause_if_needed(now) == []


def test_the_limits_are_the_operators(under_way, make_app, now):
    campaign = under_way(accepted=10_000, complained=10)

    with make_app(complaint_stop="0.1").app_context():
        assert pause_if_needed(now) == [campaign.id]


@pytest.mark.parametrize(("number", "stopped"), [(9, False), (10, True)])
def test_sb5_a_campaign_that_is_turned_away_because_of_us_pauses(under_way, send_due, now, number, stopped):
    campaign = under_way()
    people = db.session.query(Subscriber).order_by(Subscriber.id).limit(number).all()
    for person in people:
        content = report_on(return_paths().of(campaign.id, person.id), "policy-rejected")
        receive_message(content, source="imap", now=now)
    db.session.commit()

    assert pause_if_needed(now) == ([campaign.id] if stopped else [])

    db.session.refresh(campaign)
    assert campaign.pause_reason == ("policy" if stopped else None)
    assert campaign.pause_reply == ("550 5.7.1 Message rejected due to local policy" if stopped else None)
