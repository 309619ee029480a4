"""Pausing, going on, and cancelling: what has not been handed over stays here."""

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import CampaignStatus
from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.sending.lifecycle.control import (
    CannotCancel,
    CannotPause,
    CannotResume,
    cancel,
    pause,
    resume,
)
from newsletter.sending.lifecycle.progress import progress_of
from tests.support.clock import NOW


@pytest.fixture
def running(start, make_list, make_subscriber):
    fi = make_list()
    make_subscriber("aino@example.com", [fi])
    make_subscriber("eino@example.com", [fi])
    return start([fi])


def act(function, campaign):
    function(campaign.id, now=NOW, actor="staff:1")
    db.session.commit()


def test_a_paused_campaign_sends_nothing_until_it_goes_on(running, send_due, outgoing, outcome):
    act(pause, running)
    assert (send_due(), running.status) == (0, CampaignStatus.PAUSED)

    act(resume, running)
    assert send_due() == 2
    assert outcome(running) == {"accepted": 2}


def test_a_cancelled_campaign_sends_nothing_ever_and_its_numbers_agree(running, send_due, outcome):
    act(cancel, running)

    assert send_due() == 0
    assert (running.status, running.finished_at) == (CampaignStatus.CANCELLED, NOW)
    assert outcome(running) == {"skipped": 2}
    with pytest.raises(CannotResume):
        resume(running.id, now=NOW, actor="staff:1")


def test_a_paused_campaign_can_be_cancelled(running, outcome):
    act(pause, running)
    act(cancel, running)

    assert outcome(running) == {"skipped": 2}


@pytest.mark.parametrize(
    ("status", "refusals"),
    [
        (CampaignStatus.DRAFT, {CannotPause, CannotResume, CannotCancel}),
        (CampaignStatus.SCHEDULED, {CannotPause, CannotResume}),
        (CampaignStatus.SENDING, {CannotResume}),
        (CampaignStatus.PAUSED, {CannotPause}),
        (CampaignStatus.SENT, {CannotPause, CannotResume, CannotCancel}),
        (CampaignStatus.CANCELLED, {CannotPause, CannotResume, CannotCancel}),
    ],
)
def test_what_does_not_fit_is_refused(make_campaign, status, refusals):
    refused = set()
    for function in (pause, resume, cancel):
        campaign = make_campaign()
        campaign.status = status
        db.session.flush()
        try:
            function(campaign.id, now=NOW, actor="staff:1")
        except (CannotPause, CannotResume, CannotCancel) as refusal:
            refused.add(type(refusal))

    assert refused == refusals


def test_each_act_stands_in_the_audit_log(running):
    for function in (pause, resume, cancel):
        act(function, running)

    entries = db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [(entry.actor, entry.action) for entry in entries][-3:] == [
        ("staff:1", "campaign paused"), ("staff:1", "campaign resumed"), ("staff:1", "campaign cancelled"),
    ]  # fmt: skip


def test_progress_counts_what_is_settled(running, send_due):
    assert (progress_of(running).handled, progress_of(running).recipients) == (0, 2)

    send_due()

    assert progress_of(running).handled == 2
