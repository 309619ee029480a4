"""RP-7: what people wished since a backup, kept outside the database and done again by a restore."""

import os
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session

from newsletter.config import current_settings
from newsletter.db import db, table_of
from newsletter.durable import restore_journal
from newsletter.durable.restore_journal import JournalEntry
from newsletter.errors import AddressInvalid
from newsletter.ledger.audit import AuditEntry
from newsletter.privacy.backup.replay import replay_journal
from newsletter.privacy.models import Objection, RequestKind
from newsletter.privacy.requests.fulfil import fulfil_request, lift_restriction
from newsletter.privacy.requests.lift_suppression import NotSuppressed, lift_all
from newsletter.privacy.requests.register import ReasonMissing, record_request
from newsletter.privacy.retention.erasure import erase_person
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.consent.evidence import Visit, seal_ledger, verify_ledger
from newsletter.subscribers.consent.tracking import choose_tracking
from newsletter.subscribers.models import (
    Consent,
    ConsentKind,
    Purpose,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    Suppression,
    SuppressionReason,
    TrackingState,
)
from newsletter.subscribers.self_service.undo import undo_unsubscribe
from newsletter.subscribers.self_service.unsubscribe import unsubscribe_from
from newsletter.subscribers.suppressions import find_suppression, lift_after_confirmation, suppress
from tests.support.clock import NOW

VISIT = Visit(ip="203.0.113.7")
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def forget(app):
    """Remember the tables; what this returns puts them back, as a restore would.

    The real restore is tested in test_backup.py; here only what it does not bring back matters.
    """

    def remember():
        tables = [table_of(model) for model in (Subscriber, Subscription, Suppression, Objection, Consent)]
        kept = [db.session.execute(sa.select(table)).mappings().all() for table in tables]

        def back():
            for table in reversed(tables):
                db.session.execute(sa.delete(table))
            for table, rows in zip(tables, kept, strict=True):
                if rows:
                    db.session.execute(sa.insert(table), [dict(row) for row in rows])
            db.session.commit()
            db.session.expire_all()

        return back

    return remember


@pytest.fixture(autouse=True)
def _empty_journal(app):
    current_settings().journal_path.unlink(missing_ok=True)


def again(moved=0, **numbers):
    kinds = ("erased", "left", "refused", "restricted", "barred", "requests", "access_ended")
    return (
        dict.fromkeys([f"{kind}_again" for kind in kinds], 0)
        | {"moved_held": moved}
        | {f"{kind}_again": number for kind, number in numbers.items()}
    )


def acts():
    return [line.act for line in restore_journal.read()]


def withdrawals():
    rows = db.session.scalars(
        sa.select(Consent).where(Consent.kind == ConsentKind.WITHDRAWN).order_by(Consent.id)
    )
    return [(row.purpose, row.at, row.method) for row in rows]


def test_rp7_who_left_and_refused_since_the_backup_stays_gone_and_unmeasured(app, make_subscriber, forget):
    meri = make_subscriber("meri@example.com", tracking=TrackingState.GRANTED)
    back = forget()
    unsubscribe_from(meri, None, now=LATER, method="one-click", visit=VISIT)
    choose_tracking(meri, granted=False, language="fi", now=LATER, visit=VISIT)
    db.session.commit()
    back()

    counts = [replay_journal(LATER + timedelta(days=1)) for _time in range(2)]

    assert counts == [again(left=1, refused=1), again()]
    assert db.session.scalars(sa.select(Subscription.status)).all() == [SubscriptionStatus.UNSUBSCRIBED]
    assert db.session.scalars(sa.select(Subscriber.tracking)).all() == [TrackingState.REFUSED]
    assert withdrawals() == [(Purpose.NEWSLETTER, LATER, "one-click"), (Purpose.TRACKING, LATER, "page")]
    seal_ledger()
    assert verify_ledger().broken == []


def test_rp7_restrictions_objections_and_blocks_since_the_backup_are_in_force_again(
    app, make_subscriber, forget
):
    make_subscriber("meri@example.com")
    make_subscriber("eero@example.com")
    back = forget()
    for kind, address, scopes in (
        (RequestKind.RESTRICTION, "meri@example.com", ()),
        (RequestKind.OBJECTION, "eero@example.com", ("all_mail", "disclosure")),
    ):
        made = record_request(
            kind, address, channel="mail", language="fi", now=NOW, actor="staff:1", scopes=scopes
        )
        fulfil_request(made.id, now=LATER, actor="staff:1", reply_by="print")
    back()

    counts = replay_journal(LATER)

    assert counts == again(left=1, refused=1, restricted=1, barred=1)
    people = dict(db.session.execute(sa.select(Subscriber.address, Subscriber.restricted_at)).all())
    assert people == {"meri@example.com": LATER, "eero@example.com": None}
    assert find_suppression("eero@example.com").reason is SuppressionReason.BANNED
    assert sorted(db.session.scalars(sa.select(Objection.scope))) == ["all_mail", "disclosure"]


def test_what_was_lifted_since_stays_lifted(app, make_subscriber, forget):
    meri = make_subscriber("meri@example.com")
    back = forget()
    made = record_request(
        RequestKind.RESTRICTION, meri.address, channel="mail", language="fi", now=NOW, actor="staff:1"
    )
    fulfil_request(made.id, now=NOW, actor="staff:1", reply_by="print")
    lift_restriction(made.id, now=LATER, actor="staff:1")
    suppress(meri.address_key, SuppressionReason.BOUNCED, NOW)
    db.session.commit()
    lift_after_confirmation(meri.address_key, now=LATER)
    db.session.commit()
    back()

    assert replay_journal(LATER) == again()
    assert acts() == ["requested", "restricted", "requested", "unrestricted", "suppressed", "lifted"]


def test_who_came_back_before_the_backup_stays(app, make_subscriber):
    meri = make_subscriber("meri@example.com")
    unsubscribe_from(meri, None, now=NOW, method="page", visit=VISIT)
    undo_unsubscribe(meri, NOW, language="fi", now=LATER, visit=VISIT)
    db.session.commit()

    assert replay_journal(LATER) == again()
    assert meri.subscriptions[0].status is SubscriptionStatus.CONFIRMED


def test_a_changed_address_does_not_hide_who_left(app, make_subscriber, forget):
    meri = make_subscriber("vanha@example.com")
    back = forget()
    meri.address = meri.address_key = "uusi@example.com"
    meri.address_hash = hash_address("uusi@example.com")
    unsubscribe_from(meri, None, now=LATER, method="page", visit=VISIT)
    db.session.commit()
    back()

    assert replay_journal(LATER) == again(left=1)


def test_killed_between_the_journal_and_the_commit_the_restore_is_stricter(app, make_subscriber):
    """Nobody was answered; of the two ways to be wrong, this one writes to nobody who left."""
    meri = make_subscriber("meri@example.com")
    subscription = meri.subscriptions[0].id
    unsubscribe_from(meri, None, now=LATER, method="page", visit=VISIT)
    with killed_before_commit(), pytest.raises(KeyboardInterrupt):
        db.session.commit()
    db.session.rollback()
    db.session.expire_all()
    before = db.session.get_one(Subscription, subscription).status

    replay_journal(LATER)

    assert (before, acts()) == (SubscriptionStatus.CONFIRMED, ["left"])
    assert db.session.get_one(Subscription, subscription).status is SubscriptionStatus.UNSUBSCRIBED


class killed_before_commit:  # noqa: N801 - read as a verb
    """End everything once the journal has its lines, before the database has its commit."""

    def __enter__(self):
        event.listen(Session, "before_commit", self._end)

    def __exit__(self, *_error):
        event.remove(Session, "before_commit", self._end)

    @staticmethod
    def _end(_session):
        if acts():
            raise KeyboardInterrupt


def test_what_is_rolled_back_is_not_noted(app, make_subscriber):
    meri = make_subscriber("meri@example.com")
    unsubscribe_from(meri, None, now=NOW, method="page", visit=VISIT)
    db.session.rollback()
    db.session.commit()

    assert acts() == []


def test_a_savepoint_given_up_takes_no_line_along(app, make_subscriber):
    meri = make_subscriber("meri@example.com")
    unsubscribe_from(meri, None, now=NOW, method="page", visit=VISIT)
    db.session.flush()
    savepoint = db.session.begin_nested()
    savepoint.rollback()
    db.session.commit()

    assert acts() == ["left"]


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_full_disk_keeps_nobody_on_the_list(app, make_subscriber, monkeypatch, caplog):
    meri = make_subscriber("meri@example.com")
    monkeypatch.setattr(os, "write", full)

    unsubscribe_from(meri, None, now=NOW, method="page", visit=VISIT)
    db.session.commit()

    assert meri.subscriptions[0].status is SubscriptionStatus.UNSUBSCRIBED
    assert [record.message for record in caplog.records] == ["journal not written"]


def full(*_arguments):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("engine", ["sqlite"])
def test_an_erasure_waits_for_its_line(real_app, make_subscriber, monkeypatch):
    make_subscriber("meri@example.com")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            erase_person("meri@example.com", now=NOW, actor="console")

    db.session.rollback()
    assert db.session.scalars(sa.select(Subscriber.address)).all() == ["meri@example.com"]


@pytest.mark.parametrize("engine", ["sqlite"])
def test_the_journal_names_nobody(app, make_subscriber):
    meri = make_subscriber("meri.meikalainen@example.com")
    unsubscribe_from(meri, None, now=NOW, method="page", visit=VISIT)
    suppress(meri.address_key, SuppressionReason.OBJECTED, NOW)
    db.session.commit()

    text = current_settings().journal_path.read_text(encoding="utf-8")
    assert [word for word in ("meri", "example.com", VISIT.ip) if word in text] == []
    assert current_settings().journal_path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("engine", ["sqlite"])
def test_the_stump_of_a_write_cut_short_spoils_no_other_line(app):
    restore_journal.append([JournalEntry(NOW, "a")])
    with current_settings().journal_path.open("a") as file:
        file.write('{"at":"2026-03')
    restore_journal.append([JournalEntry(LATER, "b", restore_journal.LIFTED, told={"bans": True})])

    assert list(restore_journal.read()) == [
        JournalEntry(NOW, "a"),
        JournalEntry(LATER, "b", restore_journal.LIFTED, told={"bans": True}),
    ]


@pytest.mark.parametrize("engine", ["sqlite"])
def test_it_does_not_grow_for_ever_and_lines_of_before_are_understood(app):
    old = '{"at":"2026-01-01T00:00:00+00:00","id":7,"since":"2025-01-01T00:00:00+00:00","hash":"x"}\n'
    current_settings().journal_path.write_text(old, encoding="utf-8")
    restore_journal.append([JournalEntry(LATER, "b", restore_journal.LEFT)])

    (first, _second) = restore_journal.read()
    dropped = restore_journal.delete_expired(datetime.fromisoformat("2026-02-12T00:00:01+00:00"))

    assert (first.act, first.id, dropped, acts()) == (restore_journal.ERASED, 7, 1, ["left"])


@pytest.mark.parametrize("engine", ["sqlite"])
def test_the_journal_of_another_machine_is_taken_in_once(app, tmp_path):
    restore_journal.append([JournalEntry(NOW, "a")])
    other = tmp_path / "other"
    other.write_text(current_settings().journal_path.read_text(encoding="utf-8"), encoding="utf-8")
    restore_journal.append([JournalEntry(LATER, "b")])
    current_settings().journal_path.rename(tmp_path / "theirs")
    other.rename(current_settings().journal_path)

    assert [restore_journal.merge_file(tmp_path / "theirs") for _time in range(2)] == [1, 0]
    assert [line.hash for line in restore_journal.read()] == ["a", "b"]


def test_rp5_staff_lift_what_no_signup_lifts_and_it_stays_lifted(app, make_subscriber, forget):
    suppress("meri@example.com", SuppressionReason.BANNED, NOW)
    db.session.add(Objection(address_hash=hash_address("meri@example.com"), scope="all_mail", created_at=NOW))
    db.session.commit()
    lift_after_confirmation("meri@example.com", now=NOW)
    db.session.commit()
    stood, back = find_suppression("meri@example.com"), forget()

    lift_all("Meri@Example.com", "Soitti itse.", now=LATER, actor="staff:1")
    db.session.commit()

    assert stood is not None
    assert (find_suppression("meri@example.com"), db.session.scalars(sa.select(Objection)).all()) == (
        None,
        [],
    )
    back()
    assert (replay_journal(LATER), acts()) == (again(), ["suppressed", "lifted"])
    entry = db.session.scalars(sa.select(AuditEntry)).one()
    assert (entry.action, entry.actor, entry.about) == ("block lifted", "staff:1", {"why": "Soitti itse."})


@pytest.mark.parametrize(
    ("address", "why", "error"),
    [
        ("meri@example.com", " ", ReasonMissing),
        ("eero@example.com", "Soitti.", NotSuppressed),
        ("meri", "Soitti.", AddressInvalid),
    ],
)
@pytest.mark.parametrize("engine", ["sqlite"])
def test_rp5_a_block_is_not_lifted_without_a_reason_nor_where_there_is_none(app, address, why, error):
    suppress("meri@example.com", SuppressionReason.NOT_REQUESTED, NOW)

    with pytest.raises(error):
        lift_all(address, why, now=NOW, actor="staff:1")

    assert find_suppression("meri@example.com") is not None
