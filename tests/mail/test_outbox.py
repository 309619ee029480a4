import os
import subprocess
import sys
from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.db.leases import owner
from newsletter.mail.models import MailStatus, OutboxMail
from newsletter.mail.outbox import RETRY_DELAYS, deliver_due, enqueue, release_expired
from newsletter.mail.return_path import OUTBOX_CAMPAIGN, return_paths
from tests.support.apps import on_its_own
from tests.support.server import ROOT


@pytest.fixture
def put(app, now):
    """Put mails in the outbox, one for each address."""

    def put_all(*addresses, **columns):
        mails = [
            enqueue("already_subscribed", to=address, language="fi", now=now, context=_context())
            for address in addresses or ["tilaaja@example.com"]
        ]
        for mail in mails:
            for name, value in columns.items():
                setattr(mail, name, value)
        db.session.commit()
        return mails if len(mails) > 1 else mails[0]

    return put_all


def _context():
    return {
        "lists": ["Uutiset"],
        "preferences_url": "https://news.example/preferences/secret?lang=fi",
        "unsubscribe_url": "https://news.example/unsubscribe/secret?lang=fi",
    }


@pytest.fixture
def mail_app(make_app, smtp_server):
    """The application with a mail server."""
    return make_app(**smtp_server.settings)


@pytest.fixture
def deliver(mail_app):
    """Send what is due through the mail server and return how many were accepted."""
    return lambda: on_its_own(mail_app, deliver_due)


def test_a_mail_goes_out_once(put, deliver, smtp_server, now):
    mail = put()

    assert [deliver(), deliver()] == [1, 0]
    assert [message.recipients for message in smtp_server.messages] == [("tilaaja@example.com",)]
    assert (mail.status, mail.attempts, mail.accepted_at) == (MailStatus.ACCEPTED, 1, now)


def test_mails_go_out_in_the_order_in_which_they_are_due(put, deliver, smtp_server, now):
    put("late@example.com", due_at=now)
    put("early@example.com", due_at=now - timedelta(minutes=1))
    put("latest@example.com", due_at=now)

    deliver()

    assert [message.recipients[0] for message in smtp_server.messages] == [
        "early@example.com",
        "late@example.com",
        "latest@example.com",
    ]


def test_a_mail_that_is_not_due_waits(put, deliver, clock, now):
    put(due_at=now + timedelta(seconds=1))
    assert deliver() == 0

    clock.shift(1)

    assert deliver() == 1


def test_sb4_the_envelope_names_the_mail_to_us_alone(put, deliver, smtp_server):
    mail = put()

    deliver()

    assert smtp_server.messages[0].sender == return_paths().of(OUTBOX_CAMPAIGN, mail.id)


def test_the_message_keeps_the_id_it_was_given(put, deliver, smtp_server):
    mail = put()

    deliver()

    assert smtp_server.messages[0].parsed["Message-ID"] == mail.message_id


def test_an_accepted_mail_forgets_whom_it_was_for_and_what_it_said(put, deliver):
    mail = put()
    assert (mail.address, mail.context) == ("tilaaja@example.com", _context())

    deliver()

    assert (mail.address, mail.context) == (None, None)
    assert (mail.leased_by, mail.leased_until) == (None, None)


@pytest.mark.parametrize("column", ["address", "context"])
def test_what_is_forgotten_is_null_in_the_database(put, deliver, column):
    put()

    deliver()

    assert db.session.scalar(sa.text(f"select {column} is null from outbox"))  # noqa: S608


def test_a_mail_refused_for_good_fails_and_forgets(put, deliver, smtp_server):
    smtp_server.answer("RCPT", "550 5.1.1 Unknown", to="gone@example.com")
    gone, here = put("gone@example.com", "here@example.com")

    assert deliver() == 1
    assert (gone.status, gone.reply_code, gone.address, gone.context) == (MailStatus.FAILED, 550, None, None)
    assert here.status is MailStatus.ACCEPTED


def test_a_mail_refused_for_now_comes_back_a_minute_later(put, deliver, smtp_server, clock, now):
    smtp_server.greylist()
    mail = put()
    assert deliver() == 0
    assert (mail.status, mail.reply_code, mail.due_at) == (MailStatus.QUEUED, 451, now + timedelta(minutes=1))

    clock.shift(60)

    assert deliver() == 1
    assert (mail.status, mail.attempts) == (MailStatus.ACCEPTED, 2)


def test_the_gaps_grow_to_a_day_and_the_tries_end_after_four(put, deliver, smtp_server, clock, now):
    smtp_server.answer("RCPT", "450 4.2.0 Not now")
    mail = put()
    gaps = []

    deliver()
    while mail.status is MailStatus.QUEUED:
        gaps.append(mail.due_at - utcnow())
        clock.move_to(mail.due_at)
        deliver()

    minutes = [1, 5, 15, 60, 180, 360, 720, 1440, 1440, 1440]
    assert gaps == [timedelta(minutes=gap) for gap in minutes] == list(RETRY_DELAYS)
    assert (mail.status, mail.attempts, mail.address) == (MailStatus.FAILED, 11, None)


def test_while_the_server_is_down_nothing_is_lost(put, deliver, smtp_server, clock):
    first, second = put("first@example.com", "second@example.com")
    smtp_server.stop()
    assert deliver() == 0
    assert (first.status, second.status) == (MailStatus.QUEUED, MailStatus.QUEUED)
    assert (first.address, second.address) == ("first@example.com", "second@example.com")

    smtp_server.start()
    clock.shift(60)

    assert deliver() == 2


def test_a_server_that_is_down_costs_one_mail_a_try_and_the_others_none(put, deliver, smtp_server):
    mails = put("first@example.com", "second@example.com", "third@example.com")
    smtp_server.stop()

    deliver()

    assert [mail.attempts for mail in mails] == [1, 0, 0]
    assert mails[0].reply_code is None


def test_a_connection_lost_before_the_content_is_tried_again(put, deliver, smtp_server, clock):
    smtp_server.drop("DATA", times=1)
    mail = put()
    assert deliver() == 0
    assert mail.status is MailStatus.QUEUED

    clock.shift(60)

    assert deliver() == 1
    assert len(smtp_server.handed_over) == 1


def test_a_connection_lost_after_the_final_dot_is_never_tried_again(put, deliver, smtp_server, clock):
    smtp_server.drop("message", times=1)
    mail = put()
    assert deliver() == 0
    assert (mail.status, mail.address, mail.context) == (MailStatus.UNCERTAIN, None, None)

    clock.shift(timedelta(days=5))

    assert deliver() == 0
    assert len(smtp_server.handed_over) == 1


def test_a_doubt_about_one_does_not_keep_the_next_one_waiting(put, deliver, smtp_server):
    smtp_server.drop("message", to="first@example.com")
    first, second = put("first@example.com", "second@example.com")

    assert deliver() == 1
    assert (first.status, second.status) == (MailStatus.UNCERTAIN, MailStatus.ACCEPTED)


def test_a_person_erased_while_the_mail_waited_gets_none(put, deliver, smtp_server):
    mail = put(address=None, context=None)

    assert deliver() == 0
    assert (mail.status, smtp_server.heard) == (MailStatus.FAILED, [])


def test_a_mail_in_flight_is_left_alone_while_its_process_lives(put, now):
    mail = put(status=MailStatus.SENDING, leased_by=owner(), leased_until=now + timedelta(minutes=20))

    release_expired(now)

    assert mail.status is MailStatus.SENDING


def test_a_mail_in_flight_whose_lease_is_over_is_uncertain_and_forgets(put, now):
    mail = put(
        status=MailStatus.SENDING, leased_by="elsewhere-1:1:1", leased_until=now - timedelta(seconds=1)
    )

    release_expired(now)

    db.session.refresh(mail)
    assert (mail.status, mail.leased_by, mail.address) == (MailStatus.UNCERTAIN, None, None)


def test_a_mail_that_only_waits_is_nobody_s(put, now):
    mail = put(due_at=now - timedelta(days=30))

    release_expired(now)

    db.session.refresh(mail)
    assert (mail.status, mail.address) == (MailStatus.QUEUED, "tilaaja@example.com")


def test_a_worker_killed_in_the_middle_of_a_mail_leaves_it_uncertain(
    real_app, put, smtp_server, mail_app, deliver, now, tmp_path
):
    smtp_server.stall("message", to="first@example.com")
    first, second = put("first@example.com", "second@example.com")
    settings = mail_app.config["NEWSLETTER"]
    given = {
        "INSTANCE_PATH": tmp_path / "worker",
        "DATABASE_URL": settings.database_url.render_as_string(hide_password=False),
        "SECRET_KEY": settings.secret_key,
        "SUPPRESSION_KEY": settings.suppression_key,
        **{name.upper(): value for name, value in smtp_server.settings.items()},
    }
    environ = {f"NEWSLETTER_{name}": str(value) for name, value in given.items()}

    command = [sys.executable, "-m", "newsletter", "worker", "--until-idle"]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT), **environ}) as worker:
        came_so_far = smtp_server.wait_for("message")
        worker.kill()
    assert came_so_far
    release_expired(now)

    assert deliver() == 1
    assert (first.status, second.status) == (MailStatus.UNCERTAIN, MailStatus.ACCEPTED)
    assert [message.recipients for message in smtp_server.handed_over] == [
        ("first@example.com",),
        ("second@example.com",),
    ]


def test_the_row_is_only_as_sure_as_its_transaction(app, now):
    enqueue("already_subscribed", to="a@example.com", language="fi", now=now, context=_context())

    db.session.rollback()

    assert db.session.scalar(sa.select(sa.func.count()).select_from(OutboxMail)) == 0
