"""What a worker does when woken, and when it is told to stop once nothing is due."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import CampaignStatus
from newsletter.db import db
from newsletter.running import periodic
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.subscribers.models import Subscriber, TrackingState
from newsletter.tracking.models import Event
from tests.support.apps import on_its_own
from tests.tracking.hits import hit_line, spool_hits


def test_a_worker_that_works_until_idle_does_all_that_is_due(
    app, sign_up, make_campaign, make_subscriber, finnish, outgoing, now
):
    reader = make_subscriber(lists=[finnish], tracking=TrackingState.GRANTED)
    campaign = make_campaign([finnish])
    start_campaign(campaign.id, now=now, actor="staff:1")
    spool_hits(app, hit_line(campaign.editions[0].id, reader.id))
    sign_up("meri@example.com")

    accepted = on_its_own(app, periodic.work_until_idle)

    assert (accepted, [address for address, _subject in outgoing.subjects]) == (
        2,
        ["meri@example.com", reader.address],
    )
    assert campaign.status is CampaignStatus.SENT
    assert db.session.scalars(sa.select(Event.subscriber_id)).all() == [reader.id]


def test_a_worker_forgets_requests_whose_link_ran_out(app, sign_up, clock):
    sign_up("meri@example.com")

    clock.shift(timedelta(days=8))
    on_its_own(app, periodic.work_until_idle)

    assert db.session.scalars(sa.select(Subscriber)).all() == []


@pytest.mark.parametrize("engine", ["sqlite"])
def test_nothing_due_is_nothing_to_do(app):
    assert [on_its_own(app, periodic.work_until_idle) for _time in range(2)] == [0, 0]


def test_the_pages_for_machines_tell_life_from_readiness(client, real_app):
    well = [client.get(page).status_code for page in ("/healthz", "/readyz")]
    db.session.execute(sa.text("UPDATE alembic_version SET version_num = 'of_another_time'"))

    ill = [client.get(page).status_code for page in ("/healthz", "/readyz")]

    assert (well, ill) == ([200, 200], [200, 503])
