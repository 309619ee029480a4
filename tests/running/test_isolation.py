"""A job that fails leaves all others alone, and is named until it works again."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.bounces.models import Bounce
from newsletter.campaigns.models import CampaignStatus
from newsletter.db import db
from newsletter.running import jobs, periodic
from newsletter.running.doctor.machine import check_machine
from newsletter.running.jobs import Job, Scope
from newsletter.running.models import PeriodicRun
from newsletter.running.monitoring import job_status
from newsletter.sending.lifecycle.release import release_campaign
from newsletter.staff.models import Role
from newsletter.subscribers.models import MailingList
from tests.running.test_alerts import matters
from tests.running.test_health import figures
from tests.support.apps import at_once, on_its_own

__all__ = ["matters"]


@pytest.fixture
def maildir(tmp_path):
    """A Maildir with a file that nobody can read, root neither."""
    folder = tmp_path / "Maildir" / "new"
    folder.mkdir(parents=True)
    (folder / "1.host").symlink_to("/proc/self/mem")
    return folder


@pytest.fixture
def working(make_app, maildir):
    return make_app(bounce_maildir=maildir.parent)


def test_a_mailbox_that_cannot_be_read_holds_up_no_campaign(
    working, make_campaign, make_subscriber, finnish, clock, now
):
    make_subscriber(lists=[finnish])
    campaign = make_campaign([finnish])
    release_campaign(campaign.id, at=now + timedelta(hours=1), now=now, actor="staff:1")
    db.session.commit()
    clock.shift(timedelta(hours=1))

    on_its_own(working, periodic.sweep)

    db.session.refresh(campaign)
    assert campaign.status is CampaignStatus.SENT


def test_a_message_that_cannot_be_read_holds_up_no_other(app, working, maildir):
    (maildir / "2.host").write_bytes(b"not a report")

    on_its_own(working, periodic.sweep)

    assert db.session.scalar(sa.select(sa.func.count()).select_from(Bounce)) == 1
    assert [path.name for path in maildir.iterdir()] == ["1.host"]


def test_until_idle_does_the_rest_and_then_names_what_failed(working, sign_up, outgoing, app):
    sign_up("meri@example.com")

    with pytest.raises(periodic.JobsFailed) as refused:
        on_its_own(working, periodic.work_until_idle)

    assert refused.value.values == {"jobs": "bounce mailbox"}
    assert db.session.scalars(sa.text("SELECT status FROM outbox")).all() == ["accepted"]


def test_what_fails_is_told_everywhere_until_it_works_again(
    working, real_app, client, matters, maildir, clock, now
):
    on_its_own(working, periodic.sweep)

    ill = tell(client, now)
    (maildir / "1.host").unlink()
    clock.shift(timedelta(minutes=1))
    on_its_own(working, periodic.sweep)
    well = tell(client, now)

    assert ill[0] == ["periodic work fails: bounce mailbox"]
    assert ill[1].startswith(
        "bounce mailbox has failed 1 times, last at 2026-03-03 09:30 UTC: OSError in bounces/sources/mailbox.py:"
    )
    assert ill[2:] == (1.0, 0.0)
    assert well == ([], "", 0.0, (now + timedelta(minutes=1)).timestamp())


def tell(client, now):
    """Return what the pages for machines and the doctor say of the mailbox."""
    said = [point.message for point in check_machine(now) if "bounce" in point.message]
    told = figures(client)
    return (
        client.get("/readyz").json["warnings"],
        "".join(said),
        told["newsletter_periodic_failures", "bounce mailbox"],
        told["newsletter_periodic_last_success_timestamp_seconds", "bounce mailbox"],
    )


def test_an_administrator_sees_what_fails(working, matters):
    on_its_own(working, periodic.sweep)

    words = "Epäonnistuvat taustatyöt: bounce mailbox. Komento newsletter doctor kertoo syyn."
    assert (words in matters(Role.ADMIN), words in matters(Role.SENDER)) == (True, False)


def test_the_text_of_an_error_is_kept_nowhere(app):
    def fail():
        raise ValueError("meri@example.com")

    jobs.run(Job("failing", fail))

    assert db.session.scalar(sa.select(PeriodicRun.error)) == "ValueError"


def test_what_a_failed_job_had_changed_is_undone(app, now):
    def fail():
        db.session.add(MailingList(slug="half-done", name="Puolikas", language="fi", created_at=now))
        db.session.flush()
        db.session.execute(sa.text("SELECT * FROM nothing_of_that_name"))

    results = [jobs.run(Job("failing", fail)), jobs.run(Job("next", lambda: 7))]

    made = db.session.scalar(sa.text("SELECT count(*) FROM lists WHERE slug = 'half-done'"))
    assert (made, results[0].error is None, results[1].value) == (0, False, 7)


def test_workers_that_come_at_once_run_a_job_once(real_app):
    ran = []
    job = Job("counted", lambda: ran.append(1))

    at_once(real_app, *[lambda: jobs.run(job)] * 4)

    assert ran == [1]


@pytest.mark.parametrize(("minutes", "runs"), [(0, 1), (59, 1), (60, 2)])
def test_a_job_waits_for_its_time(app, clock, minutes, runs):
    ran = []
    job = Job("counted", lambda: ran.append(1), every=timedelta(hours=1))

    jobs.run(job)
    clock.shift(timedelta(minutes=minutes))
    jobs.run(job)

    assert len(ran) == runs


def test_a_clock_that_ran_ahead_stops_nothing(app, clock):
    ran = []
    job = Job("counted", lambda: ran.append(1))

    clock.shift(timedelta(minutes=25))
    jobs.run(job)
    clock.shift(-timedelta(minutes=25))
    jobs.run(job)

    assert len(ran) == 2


@pytest.mark.parametrize(
    ("holder", "minutes", "runs"),
    [("elsewhere:1:1", 9, 0), ("elsewhere:1:1", 11, 1), ("dead", 0, 1), ("ourselves", 0, 1)],
)
def test_what_another_worker_is_at_is_left_to_it_for_its_budget(app, clock, now, holder, minutes, runs):
    names = {"dead": f"{jobs.owner().rsplit(':', 2)[0]}:999999999:1", "ourselves": jobs.owner()}
    until = now + timedelta(minutes=10)
    db.session.add(
        PeriodicRun(name="counted", machine="", leased_by=names.get(holder, holder), leased_until=until)
    )
    db.session.commit()
    ran = []
    clock.shift(timedelta(minutes=minutes))

    jobs.run(Job("counted", lambda: ran.append(1)), is_forced=True)

    assert len(ran) == runs


def test_a_job_that_does_not_come_to_its_end_is_named(app, clock, now):
    db.session.add(
        PeriodicRun(name="purge", machine="", leased_by="elsewhere:1:1", leased_until=now, started_at=now)
    )
    db.session.commit()
    clock.shift(timedelta(minutes=1))

    ((_job, row),) = job_status.failing(now + timedelta(minutes=1))

    assert job_status.describe(row) == "purge was begun at 2026-03-03 09:30 UTC and has not come to its end"


def test_workers_that_have_all_gone_are_missed(app, clock, now):
    jobs.run(periodic.PERIODIC[0])

    assert [job_status.is_silent(now + timedelta(minutes=minutes)) for minutes in (10, 11)] == [False, True]


def test_a_machine_that_is_gone_is_forgotten(app, clock, now):
    jobs.run(Job("counted", lambda: None, scope=Scope.MACHINE))
    jobs.run(Job("shared", lambda: None))

    assert [jobs.forget_gone(now + timedelta(hours=hours)) for hours in (24, 25)] == [0, 1]
