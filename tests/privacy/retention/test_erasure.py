"""RP-2, RD-4: after an erasure nothing here knows the person, and nobody else has lost anything."""

import base64
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import CampaignTotals
from newsletter.db import db
from newsletter.errors import AddressInvalid
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.models import OutboxMail
from newsletter.privacy.export.collect import read_data_export
from newsletter.privacy.models import RequestKind
from newsletter.privacy.requests.disclosures import record_disclosure
from newsletter.privacy.requests.fulfil import fulfil_request
from newsletter.privacy.requests.rectification import Corrections
from newsletter.privacy.requests.register import record_request
from newsletter.privacy.retention.erasure import erase_people, erase_person
from newsletter.privacy.retention.purge import run_purge
from newsletter.sending import personal_data as sending_data
from newsletter.subscribers import links as person_links
from newsletter.subscribers import personal_data as subscriber_data
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.models import Consent, ConsentKind, Subscriber, SuppressionReason, TrackingState
from newsletter.subscribers.queries import UnknownSubscriber
from newsletter.subscribers.self_service.unsubscribe import unsubscribe_from
from newsletter.subscribers.signup.confirm import delete_expired_signups
from newsletter.subscribers.suppressions import suppress
from newsletter.tracking import personal_data as tracking_data
from newsletter.tracking.models import Event
from tests.support.clock import NOW
from tests.support.gateway import gateway_of
from tests.support.mailbox import links_of, token
from tests.tracking.hits import hit_line, load_hits, spool_hits

ADDRESS = "Matti.Meikalainen+Lehti@Posti.example"
IP = "203.0.113.77"
GRANTED = TrackingState.GRANTED


@pytest.fixture
def live_a_life(
    real_app, client, finnish, english, sign_up, send, send_due, outgoing, clock
) -> Callable[[], Subscriber]:
    """Sign up, confirm, read a newsletter, ask for another list, change one's mind: leave traces everywhere."""

    def live() -> Subscriber:
        sign_up(ADDRESS, tracking="yes", ip=IP)
        send_due()
        client.post(f"/confirm/{token(outgoing.last, 'confirm')}", environ_base={"REMOTE_ADDR": IP})
        send_due()
        campaign = send(finnish)
        copy = outgoing.last
        clock.shift(timedelta(minutes=5))  # sooner than a person reads, a scanner does
        for url in links_of(copy, "o") + links_of(copy, "c"):
            client.get(url, environ_base={"REMOTE_ADDR": IP})
        load_hits(real_app)
        client.get(links_of(copy, "o")[0], environ_base={"REMOTE_ADDR": IP})  # not loaded yet
        client.post(
            f"/preferences/{token(copy, 'preferences')}",
            data={"lists": ["suomeksi", "in-english"], "tracking": "yes"},
        )
        assert campaign.totals.accepted == 1
        return db.session.scalars(sa.select(Subscriber)).one()

    return live


def spellings(address: str) -> set[bytes]:
    """Return how an address may stand in a file, in lower case but for Base64."""
    plain = {address, address.lower(), address.partition("@")[0]}
    found = {text.lower().encode() for word in plain for text in (word, quote(word, safe=""), quote(word))}
    for word in plain:
        for shift in range(3):  # Base64 looks another way at each place of three
            coded = base64.b64encode(b"\0" * shift + word.encode())
            found.add(coded[4:-4])
    return found


def files_that_hold(folder: Path, address: str) -> list[str]:
    found = []
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        if any(word in content or word in content.lower() for word in spellings(address)):
            found.append(path.name)
    return found


def rows_that_hold(address: str) -> list[str]:
    found = []
    for name in sa.inspect(db.session.connection()).get_table_names():
        for row in db.session.execute(sa.text(f'SELECT * FROM "{name}"')):  # noqa: S608 - names from the database
            if any(word.decode() in str(tuple(row)).lower() for word in spellings(address)):
                found.append(name)
    db.session.rollback()
    return found


# --- nothing is left -------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["sqlite"])
def test_rp2_no_file_holds_address_or_ip_afterwards(real_app, live_a_life, tmp_path, now):
    live_a_life()
    gateway_of(real_app).spool.close()  # as it does by itself within half a minute
    before = [len(files_that_hold(tmp_path, word)) > 0 for word in (ADDRESS, IP)]

    erase_person(ADDRESS.upper(), now=now, actor="console")

    assert before == [True, True]
    assert (files_that_hold(tmp_path, ADDRESS), files_that_hold(tmp_path, IP)) == ([], [])


@pytest.mark.parametrize("engine", ["sqlite"])
def test_rp2_after_the_purge_no_file_holds_address_or_ip(
    real_app, live_a_life, send_due, outgoing, tmp_path, now
):
    """Also of somebody with a request, a letter, a disclosure, and hits in a spool cut short by a crash."""
    reader = live_a_life()
    record_disclosure(ADDRESS, recipient="Paino", what=ADDRESS, why="x", ground="x", now=now, actor="staff:1")
    for kind in (RequestKind.ACCESS, RequestKind.RECTIFICATION):
        request = record_request(kind, ADDRESS, channel="mail", language="fi", now=now, actor="staff:1")
        right = Corrections(statement=f"{ADDRESS} ei ole kaikki.")
        fulfil_request(request.id, now=now, actor="staff:1", reply_by="mail", corrections=right)
    send_due()
    read_data_export(ADDRESS, now=now, actor="staff:1")
    unsubscribe_from(reader, None, now=now, method="page", visit=Visit(ip=IP))
    db.session.commit()
    spool = gateway_of(real_app).spool
    spool.append(f'[1772530200000,"open",1,{reader.id},null,"{IP}","Mu'.encode())
    spool.close()
    before = [files_that_hold(tmp_path, word) != [] for word in (ADDRESS, IP)]

    delete_expired_signups(now + timedelta(days=8))  # for the other list, which nobody confirmed
    run_purge(now=now + timedelta(days=8), actor="console", any_day=True)

    assert before == [True, True]
    assert outgoing.to(ADDRESS) == []
    assert (files_that_hold(tmp_path, ADDRESS), files_that_hold(tmp_path, IP)) == ([], [])


def test_rp2_no_table_holds_the_address_afterwards_and_what_went_is_counted(live_a_life, now):
    live_a_life()
    before = rows_that_hold(ADDRESS)

    counts = erase_person(ADDRESS, now=now, actor="console")

    assert sorted(set(before)) == ["outbox", "subscribers"]
    assert rows_that_hold(ADDRESS) == []
    assert counts == {"events": 3, "link_readers": 1, "deliveries": 1, "subscriptions": 2, "people": 1}
    with pytest.raises(UnknownSubscriber):
        erase_person(ADDRESS, now=now, actor="console")


def test_a_mail_that_waits_is_never_sent(live_a_life, send_due, outgoing, now):
    live_a_life()
    erase_person(ADDRESS, now=now, actor="console")

    send_due()

    assert outgoing.to(ADDRESS) == []
    assert {(mail.address, mail.context) for mail in db.session.scalars(sa.select(OutboxMail))} == {
        (None, None)
    }


def test_hits_not_yet_loaded_do_not_come_back(real_app, live_a_life, now):
    reader = live_a_life()
    late = hit_line(1, reader.id)
    erase_person(ADDRESS, now=now, actor="console")

    spool_hits(real_app, late)
    load_hits(real_app)

    assert db.session.scalars(sa.select(Event)).all() == []


def test_the_log_names_nobody(live_a_life, now, caplog):
    reader = live_a_life()
    subscriber_id = reader.id
    caplog.clear()

    erase_person(ADDRESS, now=now, actor="staff:1")

    assert [word for word in ("matti", "posti", IP) if word in caplog.text.lower()] == []
    entry = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "person erased")).one()
    assert (entry.actor, entry.object) == ("staff:1", f"subscriber:{subscriber_id}")


# --- what stays ------------------------------------------------------------------------------------


def test_totals_proof_of_what_was_confirmed_and_blocks_stay(live_a_life, now):
    reader = live_a_life()
    suppress(reader.address_key, SuppressionReason.BANNED, NOW)
    db.session.commit()

    erase_person(ADDRESS, now=now, actor="console")

    totals = db.session.scalars(sa.select(CampaignTotals).execution_options(populate_existing=True)).one()
    assert (totals.recipients, totals.accepted, totals.measured) == (1, 1, 1)
    assert (totals.opens_human, totals.opens_unique, totals.clicks_human, totals.clicks_unique) == (
        2,
        1,
        1,
        1,
    )
    rows = db.session.scalars(sa.select(Consent).execution_options(populate_existing=True))
    assert {row.kind for row in rows if row.address_hash} == {ConsentKind.CONFIRMED}
    assert db.session.scalar(sa.text("SELECT count(*) FROM suppressions")) == 1


def test_others_lose_nothing(real_app, make_list, make_subscriber, send, now):
    fi = make_list()
    stays, goes = (make_subscriber(lists=[fi], tracking=GRANTED) for _person in range(2))
    edition = send(fi).editions[0].id
    spool_hits(
        real_app, *[hit_line(edition, who.id, number) for who in (stays, goes) for number in (None, 1)]
    )
    load_hits(real_app)
    before = everything_about(stays)

    erase_person(goes.address, now=now, actor="console")

    assert everything_about(stays) == before
    assert len(before["events"]) == 2


def everything_about(reader: Subscriber) -> dict[str, object]:
    parts = (subscriber_data, sending_data, tracking_data)
    found: dict[str, object] = {}
    for part in parts:
        found |= part.export(reader)
    db.session.rollback()
    return found


# --- whom we do not know ---------------------------------------------------------------------------


def test_an_unknown_address_is_refused(app, now):
    with pytest.raises(UnknownSubscriber):
        erase_person("nobody@example.com", now=now, actor="console")


@pytest.mark.parametrize("address", ["", "matti", "matti@", "matti@example.com, pekka@example.com"])
@pytest.mark.parametrize("engine", ["sqlite"])
def test_what_is_no_address_is_refused(app, now, address):
    with pytest.raises(AddressInvalid):
        erase_person(address, now=now, actor="console")


def test_an_erasure_that_stopped_half_way_can_be_run_again(live_a_life, now):
    reader = live_a_life()
    tracking_data.erase([reader.id])
    sending_data.erase([reader.id])

    counts = erase_people([reader.id], now=now)

    assert counts == {"events": 0, "link_readers": 1, "deliveries": 0, "subscriptions": 2, "people": 1}
    assert rows_that_hold(ADDRESS) == []


# --- who comes back --------------------------------------------------------------------------------


def test_who_comes_back_is_another_person_and_old_links_do_not_open_theirs(
    live_a_life, client, sign_up, send_due, outgoing, now
):
    old = live_a_life()
    old_id = old.id
    lists = [item.list_id for item in old.subscriptions]
    details = f"/preferences/{person_links.PREFERENCES.make(old_id)}"
    leaving = f"/unsubscribe/{person_links.UNSUBSCRIBE.make(old_id, lists[0], 0)}"
    erase_person(ADDRESS, now=now, actor="console")
    sign_up(ADDRESS)
    send_due()
    client.post(f"/confirm/{token(outgoing.last, 'confirm')}")

    pages = [client.get(details), client.get(leaving), client.post(leaving), client.post(details, data={})]

    new = db.session.scalars(sa.select(Subscriber).execution_options(populate_existing=True)).one()
    assert new.id != old_id
    assert [page.status_code for page in pages] == [200, 200, 200, 200]
    assert ["Posti.example" in page.text for page in pages] == [False, False, False, False]
    assert [item.status.value for item in new.subscriptions] == ["confirmed"]
