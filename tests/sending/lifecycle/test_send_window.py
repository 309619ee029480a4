"""Recipients spread over a while, and days that have a ceiling while a sender warms up."""

from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import CampaignStatus
from newsletter.config import SettingsInvalid
from newsletter.db import db
from newsletter.sending.lifecycle.control import pause
from newsletter.sending.lifecycle.release import release_campaign, withdraw
from newsletter.sending.models import Delivery, SendingDay
from newsletter.sending.views.status_text import status_sentences
from newsletter.sending.worker import deliver, warmup
from tests.support.apps import at_once, load_settings, on_its_own
from tests.support.clock import NOW

HOUR = timedelta(hours=1)


@pytest.fixture
def draft(make_list, make_readers, make_campaign):
    """A draft to 240 people."""
    fi = make_list()
    make_readers(fi, 240)
    return make_campaign([fi])


def test_recipients_are_spread_evenly_over_the_hours(draft, send_due, clock):
    release_campaign(draft.id, at=None, now=NOW, actor="staff:1", over=HOUR)
    db.session.commit()

    sent = [send_due()]
    for _minute in range(3):
        clock.shift(timedelta(minutes=1))
        sent.append(send_due())
    clock.shift(timedelta(minutes=56))

    assert sent == [4, 4, 4, 4]
    assert (send_due(), draft.status) == (224, CampaignStatus.SENT)


def test_a_long_while_is_cut_into_a_hundred_shares(draft):
    release_campaign(draft.id, at=None, now=NOW, actor="staff:1", over=24 * HOUR)

    due = db.session.scalars(sa.select(Delivery.due_at).distinct()).all()
    assert len(due) == 100
    assert max(moment for moment in due if moment) == NOW + 24 * HOUR * 99 / 100


def test_a_few_recipients_have_a_share_each(make_list, make_readers, make_campaign):
    fi = make_list()
    make_readers(fi, 2)
    campaign = make_campaign([fi])

    release_campaign(campaign.id, at=None, now=NOW, actor="staff:1", over=HOUR)

    assert sorted(db.session.scalars(sa.select(Delivery.due_at)).all(), key=str) == [NOW + HOUR / 60, None]


def test_a_schedule_remembers_its_spread_until_it_is_taken_back(draft):
    release_campaign(draft.id, at=NOW + HOUR, now=NOW, actor="staff:1", over=2 * HOUR)
    assert draft.spread_minutes == 120

    withdraw(draft.id, now=NOW, actor="staff:1")

    assert draft.spread_minutes is None


@pytest.fixture
def warming(make_app):
    """The application of the test, warming up: 10 mails on the first day, then 30, then no ceiling."""
    return make_app(warm_up="2026-03-01 10,30")


def test_each_day_of_sending_has_its_ceiling_and_the_last_has_none(draft, warming, send_due, clock):
    release_campaign(draft.id, at=None, now=NOW, actor="staff:1")
    db.session.commit()

    sent = [send_due(warming), send_due(warming)]
    clock.shift(timedelta(days=1))
    sent += [send_due(warming), send_due(warming)]
    clock.shift(timedelta(days=5))  # on which nothing was sent: they do not count
    sent += [send_due(warming), send_due(warming)]

    assert sent == [10, 0, 30, 0, 200, 0]
    db.session.refresh(draft)
    assert draft.status is CampaignStatus.SENT


def test_a_day_begins_at_midnight_of_the_business(draft, warming, send_due, clock):
    release_campaign(draft.id, at=None, now=NOW, actor="staff:1")
    db.session.commit()
    send_due(warming)

    clock.move_to(datetime(2026, 3, 3, 21, 59, tzinfo=UTC))
    before = send_due(warming)
    clock.move_to(datetime(2026, 3, 3, 22, 0, tzinfo=UTC))  # midnight in Helsinki

    assert (before, send_due(warming)) == (0, 30)


def test_what_was_set_aside_and_not_used_goes_back(make_list, make_readers, make_campaign, warming, send_due):
    fi = make_list()
    make_readers(fi, 3)
    release_campaign(make_campaign([fi]).id, at=None, now=NOW, actor="staff:1")
    db.session.commit()

    assert send_due(warming) == 3
    assert db.session.execute(sa.select(SendingDay.day, SendingDay.taken)).all() == [(date(2026, 3, 3), 3)]


def test_before_its_first_day_nothing_is_held_back(draft, make_app, send_due):
    release_campaign(draft.id, at=None, now=NOW, actor="staff:1")
    db.session.commit()

    assert send_due(make_app(warm_up="2026-03-04 10")) == 240
    assert db.session.scalars(sa.select(SendingDay)).all() == []


def test_workers_together_keep_to_the_ceiling(real_app, make_app):
    app = make_app(warm_up="2026-03-01 50")

    def take():
        with app.app_context():
            taken = warmup.reserve_quota(warmup.RESERVATION_SIZE, NOW)
            return taken[1] if taken else None

    assert sum(at_once(real_app, *[take] * 4)) == 50


def test_connections_together_keep_to_the_ceiling(real_app, make_app, draft, smtp_server):
    app = make_app(**smtp_server.settings, mail_connections=4, warm_up="2026-03-01 50")
    release_campaign(draft.id, at=None, now=NOW, actor="staff:1")
    db.session.commit()

    assert on_its_own(app, deliver.deliver_due) == 50
    assert len(smtp_server.messages) == 50


def test_the_page_says_when_it_goes_on(draft, warming, send_due):
    release_campaign(draft.id, at=None, now=NOW, actor="staff:1", over=HOUR)
    db.session.commit()

    def words():
        with warming.test_request_context("/?lang=fi"):
            return status_sentences(draft, NOW)

    before = words()
    with warming.app_context():
        warmup.reserve_quota(10, NOW)

    until = "Vastaanottajat on jaettu eri aikoihin. Viimeiset: 3.3.2026 klo 12.30"
    assert before == ["Lähetysmäärää kasvatetaan vähitellen. Päivän yläraja: 10", until]
    assert words() == ["Lähetys jatkuu huomenna: päivän yläraja on täynnä (10 viestiä).", until]
    pause(draft.id, now=NOW, actor="staff:1")
    assert words() == []


@pytest.mark.parametrize("text", ["2026-03-01", "200,500", "2026-03-01 0", "1.3.2026 200", "2026-03-01 many"])
def test_ceilings_that_cannot_be_read_stop_the_start(tmp_path, text):
    with pytest.raises(SettingsInvalid, match="WARM_UP: give a day and ceilings"):
        load_settings(tmp_path, warm_up=text)
