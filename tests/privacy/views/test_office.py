"""The privacy pages of staff: who sees them, and what they do."""

import ast
import csv
import io
import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.ledger.audit import AuditEntry, record, seal_log, verify_log
from newsletter.privacy import incidents
from newsletter.privacy.audit_log.action_labels import ACTION_LABELS
from newsletter.privacy.audit_log.detail_labels import DETAIL_LABELS
from newsletter.privacy.backup import replay
from newsletter.privacy.models import Incident, Notice, RequestKind, RequestStatus, RightsRequest
from newsletter.privacy.notice import versions
from newsletter.privacy.retention import daily, purge
from newsletter.staff.api_tokens import create_token
from newsletter.staff.models import Role, Staff
from newsletter.subscribers.consent.texts import current_notice_version
from newsletter.subscribers.models import SuppressionReason
from newsletter.subscribers.suppressions import find_suppression, suppress
from newsletter.subscribers.transfer import importer
from tests.privacy.purging import DUE, LEFT
from tests.staff.conftest import enter, make_staff, submit
from tests.support.clock import NOW
from tests.support.server import ROOT

__all__ = ["enter", "make_staff", "submit"]

PAGES = ["", "/requests/new", "/purge", "/schedule", "/notices", "/audit", "/incidents", "/records"]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("language", ["fi", "en"])
@pytest.mark.parametrize("engine", ["sqlite"])
def test_each_page_opens_in_both_languages(app, client, enter, page, language):
    enter(role=Role.PRIVACY)

    answer = client.get(f"/staff/privacy{page}?lang={language}")

    assert answer.status_code == 200
    assert f'<html lang="{language}">' in answer.text


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("engine", ["sqlite"])
def test_others_stay_outside(app, client, enter, page):
    enter(role=Role.SENDER)

    assert client.get(f"/staff/privacy{page}").status_code == 403


def test_a_request_is_entered_carried_out_and_printed(app, client, enter, submit, make_subscriber):
    make_subscriber("meri@example.com")
    enter(role=Role.PRIVACY)

    made = submit(
        "/staff/privacy/requests/new", address="meri@example.com", kind="access", letter_language="en"
    )
    page = made.headers["Location"]
    submit(page, to=f"{page}/carry-out", reply_by="print")

    assert db.session.scalars(sa.select(RightsRequest)).one().status is RequestStatus.DONE
    assert "Below is everything we hold on you." in client.get(f"{page}/letter").text
    acts = set(db.session.scalars(sa.select(AuditEntry.action)))
    assert {"request received", "request read", "access carried out", "request done", "letter read"} <= acts


@pytest.mark.parametrize("engine", ["sqlite"])
def test_rd5_data_is_put_right_on_the_page_and_the_letter_to_the_recipient_printed(
    app, client, enter, submit, make_subscriber
):
    make_subscriber("meri@example.com")
    enter(role=Role.PRIVACY)
    office = "/staff/privacy?lang=en"
    submit(
        office,
        to="/staff/privacy/disclosures",
        address="meri@example.com",
        recipient="Paino Oy",
        what="Osoite",
        why="Posti",
        ground="Suostumus",
    )
    made = submit(
        "/staff/privacy/requests/new", address="meri@example.com", kind="rectification", letter_language="en"
    )
    page = made.headers["Location"]

    submit(page, to=f"{page}/carry-out", address="oikea@example.com", right_language="en", reply_by="print")
    waiting = client.get(f"{page}?lang=en").text
    letter = client.get("/staff/privacy/tasks/1?lang=en").text
    submit(office, to="/staff/privacy/tasks/1/done")

    assert "Waits for its mailbox, until Mar 10, 2026, " in waiting
    assert "Kieli: English" in letter
    assert "Language: English" in client.get(f"{page}/letter").text
    assert "oikea@example.com" not in client.get("/staff/privacy/tasks/1?lang=en").text
    acts = list(db.session.scalars(sa.select(AuditEntry.action)))
    assert (acts.count("letter read"), acts.count("recipient told")) == (3, 1)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_rp5_a_block_is_lifted_on_the_page(app, client, enter, submit):
    suppress("meri@example.com", SuppressionReason.BANNED, NOW)
    enter(role=Role.PRIVACY)

    submit("/staff/privacy", to="/staff/privacy/blocks/lift", address="meri@example.com", text="Soitti.")

    assert find_suppression("meri@example.com") is None


@pytest.mark.parametrize("engine", ["sqlite"])
def test_what_cannot_be_entered_is_said_beside_its_field(app, client, enter, submit):
    enter(role=Role.PRIVACY)

    page = submit("/staff/privacy/requests/new?lang=en", address="meri", kind="access")

    assert page.status_code == 422
    assert 'id="address-error"' in page.text


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_run_has_a_certificate(real_app, client, enter, make_subscriber):
    make_subscriber(status=LEFT)
    purge.run_purge(now=DUE, actor="console")
    enter(role=Role.PRIVACY)

    page = client.get("/staff/privacy/purge/1?lang=en")

    assert "Certificate of the purge" in page.text
    assert client.get("/staff/privacy/purge/2").status_code == 404


# --- notices (PP-4) --------------------------------------------------------------------------------


def test_pp4_a_version_is_published_and_never_changes(app, client, enter, submit, clock):
    enter(role=Role.PRIVACY)
    submit("/staff/privacy/notices")
    first = client.get("/privacy/1?lang=en").text

    again = submit("/staff/privacy/notices", to="/staff/privacy/notices")

    assert again.status_code == 422  # nothing has changed, so there is no button either
    assert [item.version for item in versions.list_versions()] == [1]
    assert client.get("/privacy/1?lang=en").text == first
    assert current_notice_version() == 1


def test_pp4_a_change_of_settings_is_a_new_version_with_what_changed(make_app, app, client, now):
    versions.publish(now=now, actor="staff:1")
    db.session.commit()
    other = make_app(keep_proof_years=5, notice_recipients="Paino Oy")
    with other.app_context():
        versions.publish(now=now + timedelta(days=1), actor="staff:1")
        db.session.commit()

    page = client.get("/privacy/2?lang=en").text

    assert "<ins>We give data to: Paino Oy</ins>" in page
    assert "Paino Oy" not in client.get("/privacy/1?lang=en").text
    assert current_notice_version() == 2


@pytest.mark.parametrize("missing", ["sender_name", "sender_postal", "privacy_contact", "notice_transfers"])
def test_pp4_publishing_refuses_while_a_part_is_missing(make_app, missing, now):
    other = make_app(**{missing: ""})

    with other.app_context(), pytest.raises(versions.NoticeIncomplete):
        versions.publish(now=now, actor="staff:1")


@pytest.mark.parametrize("engine", ["sqlite"])
def test_pp4_consents_point_to_the_version_shown(app, finnish, sign_up, now):
    versions.publish(now=now, actor="staff:1")
    db.session.add(
        Notice(version=2, content=versions.current_notice().content, published_at=now, actor="staff:1")
    )
    db.session.commit()

    sign_up("meri@example.com")

    assert set(db.session.scalars(sa.text("SELECT notice_version FROM consents"))) == {2}


# --- audit log (SS-6) ------------------------------------------------------------------------------


def test_ss6_the_log_can_be_filtered_and_exported(app, client, enter, submit):
    enter(role=Role.PRIVACY)
    client.post("/staff/privacy/copy")
    submit("/staff/privacy/audit", to="/staff/privacy/audit/verify")

    page = client.get("/staff/privacy/audit?lang=en&action=chains+verified")
    file = submit("/staff/privacy/audit", to="/staff/privacy/audit/export?action=chains+verified")

    rows = list(csv.reader(io.StringIO(file.text)))
    assert page.text.count("<tr>") == 2
    assert [row[3] for row in rows] == ["action", "chains verified"]


def test_ss6_acts_are_sealed_and_a_change_is_found(app, client, enter, submit):
    enter(role=Role.PRIVACY)
    submit("/staff/privacy/audit", to="/staff/privacy/audit/verify")
    seal_log()
    before = verify_log().broken
    db.session.execute(sa.text("UPDATE audit SET actor = 'staff:99'"))

    assert before == []
    assert verify_log().broken != []


# --- breaches --------------------------------------------------------------------------------------


def test_rd9_a_breach_counts_who_was_affected_and_has_72_hours(app, client, enter, submit, make_subscriber):
    make_subscriber("meri@example.com")
    enter(role=Role.PRIVACY)
    times = {"began_at": "2026-03-01T10:00", "ended_at": "2026-03-03T12:00"}

    submit(
        "/staff/privacy/incidents", description="Kannettava vietiin.", noticed_at="2026-03-03T11:00", **times
    )
    page = client.get("/staff/privacy/incidents?lang=en").text
    file = submit("/staff/privacy/incidents", to="/staff/privacy/incidents/affected", **times)

    assert db.session.scalars(sa.select(Incident)).one().affected_count == 1
    assert "To be reported by: Mar 6, 2026, 11:00" in page.replace("\u202f", " ")
    assert "Hours left: 71" in page
    assert "meri@example.com" in file.text


@pytest.mark.parametrize("engine", ["sqlite"])
def test_rd9_the_record_of_a_breach_says_what_followed_and_what_was_done(app, client, enter, submit):
    enter(role=Role.PRIVACY)
    page = "/staff/privacy/incidents"
    times = dict.fromkeys(("began_at", "ended_at", "noticed_at"), "2026-02-28T10:00")
    submit(page, description="Kannettava vietiin.", effects="Roskapostia.", **times)
    late = client.get(f"{page}?lang=en").text

    submit(page, to=f"{page}/1/describe", effects="Roskapostia.", measures="Levy oli salattu.")
    for step in ("reported", "told", "closed"):
        submit(page, to=f"{page}/1/{step}")

    found = db.session.scalars(sa.select(Incident)).one()
    assert "The 72 hours are over." in late
    assert (found.effects, found.measures) == ("Roskapostia.", "Levy oli salattu.")
    assert None not in (found.reported_at, found.told_at, found.closed_at)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_an_end_before_its_beginning_is_refused(app, enter, submit):
    enter(role=Role.PRIVACY)

    page = submit(
        "/staff/privacy/incidents",
        description="x", began_at="2026-03-03T10:00", ended_at="2026-03-02T10:00", noticed_at="2026-03-03T10:00",
    )  # fmt: skip

    assert page.status_code == 422


# --- the audit log in words ------------------------------------------------------------------------


def test_ss6_every_act_of_data_protection_has_words():
    """SS-6: an act without words would be shown to a Finn in English."""
    recorded = set()
    for path in (ROOT / "newsletter" / "privacy").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        recorded |= set(re.findall(r'audit\.record\(\s*"([^"]+)"', text))
    recorded |= {f"{kind.value} carried out" for kind in RequestKind}
    recorded |= {f"request {status.value}" for status in RequestStatus}
    recorded |= {f"incident {step}" for step in incidents.STEPS}

    assert recorded - set(ACTION_LABELS) - {"request unproven", "request open"} == set()


@pytest.mark.parametrize("engine", ["sqlite"])
def test_ss6_the_log_says_in_words_what_was_done_and_names_the_account(app, client, enter):
    enter(role=Role.PRIVACY)
    record("letter read", actor=f"staff:{db.session.scalars(sa.select(Staff.id)).one()}", now=NOW)
    record("something newer", actor="webhook", now=NOW)
    db.session.commit()

    page = client.get("/staff/privacy/audit?lang=fi").text

    email = db.session.scalars(sa.select(Staff.email)).one()
    assert "Kirje luettu" in page
    assert f"<span>{email}</span>" in page
    assert "something newer" in page


@pytest.mark.parametrize("engine", ["sqlite"])
def test_ss6_every_detail_of_an_act_has_a_name(app):
    recorded = set()
    for path in (ROOT / "newsletter").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"audit.record", "_log"}:
                recorded |= {word.arg for word in node.keywords if word.arg}
    recorded |= (
        set(importer.COUNT_NAMES)
        | set(purge.REPORTED_KINDS)
        | set(daily.count_overdue(NOW))
        | set(replay.replay_journal(NOW))
    )

    assert recorded - set(DETAIL_LABELS) == {"actor", "now", "object", "about"}


@pytest.mark.parametrize("engine", ["sqlite"])
def test_ss6_the_log_is_read_in_the_language_of_its_reader(app, client, enter):
    enter(role=Role.PRIVACY)
    record("request received", actor="person", now=NOW, object="request:1", kind="access", channel="letter")
    record("staff lists changed", actor="console", now=NOW, before="all", after=["uutiset"])
    record("campaign scheduled", actor="console", now=NOW, scheduled_at=NOW.isoformat())
    record("webhook made", actor="console", now=NOW, events=["subscribed", "bounced"])
    record("purge finished", actor="system", now=NOW, events=12345, something_newer=[1])
    token, _secret = create_token(name="Kassa", scopes=["lists:read"], now=NOW, days=1, actor="console")
    record("subscribers listed", actor=f"token:{token.id}", now=NOW, count=2)
    db.session.commit()

    page = client.get("/staff/privacy/audit?lang=fi").text

    assert "Pyynnön laji: Omien tietojen tarkastus<br>Kanava: Kirje" in page
    assert "Ennen: Kaikki<br>Jälkeen: uutiset" in page
    assert "Lähetysaika: 3.3.2026 klo 11.30" in page
    assert "Kertoo tapahtumista: subscribed, bounced" in page
    assert "Avaukset ja klikkaukset: 12\xa0345<br>something_newer: 1" in page
    assert '<option value="request received">Pyyntö saapunut</option>' in page
    assert '<option value="console">Komentorivi</option>' in page
    assert f'<option value="token:{token.id}">Ohjelma: Kassa</option>' in page
    assert "<span>Ohjelma: Kassa</span>" in page
