"""RP-7: what a restored copy does not know, and must not do before somebody has decided."""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import Campaign, CampaignStatus, HeldReason
from newsletter.config import current_settings
from newsletter.db import db, table_of
from newsletter.durable import restore_journal
from newsletter.mail import outbox
from newsletter.privacy.backup.hold import hold_campaigns
from newsletter.privacy.backup.replay import replay_journal
from newsletter.privacy.backup.replay_requests import restore_requests, revoke_access
from newsletter.privacy.models import RequestKind, RequestStatus, RightsRequest
from newsletter.privacy.requests.fulfil import extend, fulfil_request, refuse
from newsletter.privacy.requests.lift_suppression import lift_all
from newsletter.privacy.requests.rectification import Corrections
from newsletter.privacy.requests.register import record_request
from newsletter.privacy.retention.staff_accounts import clear_account
from newsletter.sending.lifecycle.audience import audience_of
from newsletter.staff.accounts import close_account, reopen_account
from newsletter.staff.api_tokens import create_token, find_token, revoke_token
from newsletter.staff.models import Staff
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.models import SuppressionReason
from newsletter.subscribers.self_service.change_address import confirm_change
from newsletter.subscribers.suppressions import find_suppression
from tests.staff.conftest import make_staff
from tests.support.clock import NOW
from tests.support.mailbox import link

__all__ = ["make_staff"]

LATER = NOW + timedelta(hours=1)
OLD, NEW = "vanha@example.com", "uusi@example.com"


def link_in(mails):
    """Return what the link in the last mail proves its mailbox with."""
    return urlsplit(link(mails[-1], "preferences")).path.rpartition("/")[2]


@pytest.fixture(autouse=True)
def _empty_journal(app):
    current_settings().journal_path.unlink(missing_ok=True)


@pytest.fixture
def change(clock, send_due, outgoing):
    """Have an address put right at the desk, and its mailbox confirm it."""

    def put_right(address, right, *, at=LATER):
        clock.move_to(at)
        made = record_request(
            RequestKind.RECTIFICATION, address, channel="phone", language="fi", now=at, actor="staff:1"
        )
        fulfil_request(
            made.id, now=at, actor="staff:1", reply_by="print", corrections=Corrections(address=right)
        )
        send_due()
        confirm_change(link_in(outgoing.to(right)), now=at)
        db.session.commit()

    return put_right


def restored(person, **columns):
    """Make a person what they were when the backup was made, before the requests were."""
    for name, value in columns.items():
        setattr(person, name, value)
    db.session.execute(sa.delete(RightsRequest))
    db.session.commit()


@pytest.fixture
def moved(app, make_subscriber, finnish, change):
    """Somebody whose restored copy has an address that they have left."""
    person = make_subscriber(OLD, [finnish])
    change(OLD, NEW)
    restored(person, address=OLD, address_key=OLD, address_hash=hash_address(OLD))
    return person


def line_of_restore():
    return db.session.scalars(sa.select(RightsRequest).where(RightsRequest.channel == "restored")).one()


def test_rp7_nothing_goes_to_an_address_left_since_the_backup(
    moved, finnish, make_campaign, sign_up, send_due, outgoing
):
    send_due()
    before = len(outgoing.to(OLD))
    context = {"changed_at": NOW.isoformat()}
    outbox.enqueue("address_changed", to=OLD, language="fi", now=NOW, subscriber_id=moved.id, context=context)
    db.session.commit()

    counts = [replay_journal(LATER)["moved_held"] for _time in range(2)]

    assert counts == [1, 0]
    assert find_suppression(OLD).reason is SuppressionReason.MOVED
    sign_up(OLD)
    record_request(RequestKind.ACCESS, OLD, channel="form", language="fi", now=LATER, actor="person")
    db.session.commit()
    send_due()
    assert (len(outgoing.to(OLD)), audience_of(make_campaign([finnish])).recipients) == (before, 0)


def test_whom_it_concerns_stands_in_the_register_with_a_due_date(moved):
    replay_journal(LATER)

    line = line_of_restore()
    assert (line.kind, line.status, line.address, line.subscriber_id) == (
        RequestKind.RECTIFICATION, RequestStatus.OPEN, OLD, moved.id,
    )  # fmt: skip
    assert line.details.startswith("Palautetussa varmuuskopiossa on osoite ajalta ennen 3.3.2026")


def test_put_right_at_the_desk_mail_goes_to_the_new_address_and_none_to_the_old(
    moved, finnish, make_campaign, send_due, outgoing
):
    send_due()
    before = len(outgoing.to(OLD))
    replay_journal(LATER)

    fulfil_request(
        line_of_restore().id,
        now=LATER,
        actor="staff:1",
        reply_by="mail",
        corrections=Corrections(address=NEW),
    )
    send_due()
    confirm_change(link_in(outgoing.to(NEW)), now=LATER)
    db.session.commit()
    send_due()

    assert (moved.address, find_suppression(OLD), len(outgoing.to(OLD))) == (NEW, None, before)
    assert audience_of(make_campaign([finnish])).recipients == 1
    assert replay_journal(LATER)["moved_held"] == 0


def test_an_address_that_staff_found_right_is_not_held_again(moved):
    replay_journal(LATER)

    lift_all(OLD, "Soitti itse.", now=LATER + timedelta(minutes=1), actor="staff:1")
    db.session.commit()

    assert (replay_journal(LATER)["moved_held"], find_suppression(OLD)) == (0, None)


def test_who_came_back_to_the_address_of_the_backup_keeps_it(app, make_subscriber, change):
    person = make_subscriber(OLD)
    change(OLD, NEW)
    change(NEW, OLD, at=LATER + timedelta(hours=1))

    assert (person.address, replay_journal(LATER)["moved_held"], find_suppression(OLD)) == (OLD, 0, None)


def test_another_person_with_that_number_is_not_meant(moved):
    moved.created_at = NOW + timedelta(seconds=1)
    db.session.commit()

    assert replay_journal(LATER)["moved_held"] == 0


def test_the_journal_names_neither_address(moved):
    text = current_settings().journal_path.read_text(encoding="utf-8")

    assert [word for word in ("vanha", "uusi", "example.com") if word in text] == []
    assert "moved" in text


# --- newsletters ------------------------------------------------------------------------------------


def test_rp7_no_newsletter_goes_on_by_itself(app, make_campaign, now):
    """What was on its way at the time of the backup has most likely arrived since."""
    status = CampaignStatus
    states = (
        (status.SENDING, None), (status.SCHEDULED, now - timedelta(minutes=1)),
        (status.SCHEDULED, now + timedelta(minutes=1)), (status.PAUSED, None), (status.DRAFT, None),
    )  # fmt: skip
    for state, at in states:
        campaign = make_campaign()
        campaign.status, campaign.scheduled_at = state, at
    db.session.commit()

    counts = [hold_campaigns(now) for _time in range(2)]

    assert counts == [
        {"campaigns_paused": 1, "schedules_held": 1},
        {"campaigns_paused": 0, "schedules_held": 0},
    ]
    found = db.session.scalars(sa.select(Campaign).order_by(Campaign.id)).unique()
    assert [(campaign.status, campaign.held_reason) for campaign in found] == [
        (status.PAUSED, None), (status.SCHEDULED, HeldReason.LATE), (status.SCHEDULED, None),
        (status.PAUSED, None), (status.DRAFT, None),
    ]  # fmt: skip


# --- the register -----------------------------------------------------------------------------------


def request(kind=RequestKind.ACCESS, address=OLD):
    made = record_request(
        kind, address, channel="letter", language="fi", now=NOW, actor="staff:1", details="Kaikki."
    )
    db.session.commit()
    return made


def as_told():
    rows = db.session.scalars(sa.select(RightsRequest).order_by(RightsRequest.id))
    names = (
        "id", "kind", "status", "due_on", "extended_at", "decided_at", "handler", "reason_code", "address_hash",
    )  # fmt: skip
    return [tuple(getattr(row, name) for name in names) for row in rows]


def test_rp7_requests_since_the_backup_are_in_the_register_with_their_days(app, make_subscriber):
    known = make_subscriber(OLD)
    request()
    refused, late = request(RequestKind.ERASURE), request(address="kuka@example.com")
    refuse(refused.id, "law", "Kirjanpitolaki.", now=LATER, actor="staff:1", reply_by="print")
    extend(late.id, "Paljon aineistoa.", now=LATER, actor="staff:1")
    before = as_told()
    restored(known)
    db.session.expunge_all()

    counts = [restore_requests(list(restore_journal.read())) for _time in range(2)]

    assert (counts, as_told()) == ([3, 0], before)
    rows = db.session.scalars(sa.select(RightsRequest).order_by(RightsRequest.id)).all()
    assert [row.address for row in rows] == [OLD, OLD, None]
    assert rows[0].details.startswith("Kirjattu uudelleen palautuksen jälkeen.")
    assert request().id > before[-1][0]


def test_a_request_answered_since_the_backup_is_not_answered_twice(app, make_subscriber):
    make_subscriber(OLD)
    made = request()
    fulfil_request(made.id, now=LATER, actor="staff:1", reply_by="print")
    made.status, made.decided_at, made.handler = RequestStatus.OPEN, None, None
    db.session.commit()

    assert restore_requests(list(restore_journal.read())) == 1
    assert (made.status, made.decided_at, made.handler) == (RequestStatus.DONE, LATER, "staff:1")


def test_a_number_given_anew_since_keeps_its_request(app):
    lost = request()
    number, lines = lost.id, list(restore_journal.read())
    db.session.delete(lost)
    db.session.flush()
    db.session.execute(
        sa.insert(table_of(RightsRequest)).values(
            id=number, kind=RequestKind.ERASURE, status=RequestStatus.OPEN, address_hash="x", channel="mail",
            language="fi", received_at=LATER, due_on=LATER.date(), scopes="",
        )
    )  # fmt: skip
    db.session.commit()

    assert restore_requests(lines) == 1
    kinds = {row.id == number: row.kind for row in db.session.scalars(sa.select(RightsRequest))}
    assert kinds == {True: RequestKind.ERASURE, False: RequestKind.ACCESS}


def test_what_no_mailbox_has_confirmed_is_not_noted(app):
    record_request(RequestKind.ACCESS, OLD, channel="form", language="fi", now=NOW, actor="person")
    db.session.commit()

    assert list(restore_journal.read()) == []


# --- who may work here ------------------------------------------------------------------------------


def test_who_was_let_out_since_the_backup_stays_out(app, make_staff):
    make_staff("admin@kirjakauppa.example")
    out, back = make_staff("out@kirjakauppa.example"), make_staff("back@kirjakauppa.example")
    made, secret = create_token(
        name="x", scopes=["figures:read"], lists=None, days=1, now=NOW, actor="console"
    )
    for account in (out, back):
        close_account(account, now=LATER, actor="staff:9")
    reopen_account(back, now=LATER, actor="staff:9")
    revoke_token(made.id, now=LATER, actor="console")
    db.session.commit()
    out.active, out.closed_at, made.revoked_at = True, None, None
    db.session.commit()

    counts = [revoke_access(list(restore_journal.read()), LATER) for _time in range(2)]

    assert counts == [2, 0]
    assert [(account.active, account.closed_at) for account in (out, back)] == [(False, LATER), (True, None)]
    assert find_token(secret, now=NOW) is None


def test_an_account_cleared_since_the_backup_tells_nobody_whose_it_was(real_app, make_staff):
    account = make_staff("canary@kirjakauppa.example")
    close_account(account, now=LATER, actor="staff:9")
    clear_account(account, now=LATER, actor="staff:9")
    account.email, account.active = "canary@kirjakauppa.example", True
    account.closed_at = account.cleared_at = None
    db.session.commit()

    assert revoke_access(list(restore_journal.read()), LATER) == 1
    assert db.session.scalars(sa.select(Staff.email)).all() == [f"staff:{account.id}"]


def test_another_account_with_that_number_is_not_meant(app, make_staff):
    account = make_staff("out@kirjakauppa.example")
    close_account(account, now=LATER, actor="staff:9")
    db.session.commit()
    account.active, account.created_at = True, LATER
    db.session.commit()

    assert (revoke_access(list(restore_journal.read()), LATER), account.active) == (0, True)
