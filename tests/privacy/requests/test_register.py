"""The rights desk: RD-1 to RD-9."""

import csv
import io
import json
from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.errors import AddressInvalid, LinkExpired
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.models import OutboxMail
from newsletter.privacy.everyone import collect_personal_data
from newsletter.privacy.export import collect as export_collect
from newsletter.privacy.models import NotificationTask, RequestKind, RequestStatus, RightsRequest
from newsletter.privacy.proof.consent import get_proof
from newsletter.privacy.requests import disclosures, recipients, rectification, register
from newsletter.privacy.requests.fulfil import extend, fulfil_request, lift_restriction, refuse
from newsletter.privacy.requests.rectification import (
    AddressSuppressed,
    AddressTaken,
    Corrections,
    NothingConfirmed,
    ValueMissing,
)
from newsletter.privacy.requests.register import (
    ReasonMissing,
    RequestClosed,
    ScopeMissing,
    TooLateToExtend,
    record_request,
)
from newsletter.privacy.requests.self_service import erase_own_data
from newsletter.privacy.retention import daily
from newsletter.privacy.retention.erasure import PersonOnHold
from newsletter.subscribers.consent.evidence import Visit, consent_row
from newsletter.subscribers.models import (
    Consent,
    ConsentKind,
    Import,
    LinkPurpose,
    Subscriber,
    SubscriptionStatus,
    SuppressionReason,
    TrackingState,
)
from newsletter.subscribers.one_time_links import delete_old_links, send_link
from newsletter.subscribers.self_service.change_address import address_changed, confirm_change
from newsletter.subscribers.suppressions import find_suppression, is_permanently_suppressed, suppress
from newsletter.subscribers.transfer.import_batch import _suppressed_hashes
from tests.privacy.purging import addresses
from tests.support.mailbox import html_of, text_of

MERI = "meri@example.com"


@pytest.fixture
def ask(app, now):
    """Enter a request as staff: ``ask(RequestKind.ACCESS)``."""

    def enter(kind, address=MERI, **more):
        made = record_request(
            kind, address, **{"channel": "mail", "language": "fi", "now": now, "actor": "staff:1"} | more
        )
        db.session.commit()
        return made.id

    return enter


def answer(number, now, **more):
    return fulfil_request(number, **{"now": now, "actor": "staff:1", "reply_by": "mail"} | more)


def letters():
    rows = db.session.scalars(sa.select(OutboxMail).where(OutboxMail.template == "rights_reply"))
    return [row for row in rows if row.context]


def test_rd1_the_register_says_what_came_when_how_and_who_handled_it(app, make_subscriber, ask, now):
    make_subscriber(MERI)

    number = ask(RequestKind.ACCESS, details="Mitä minusta tiedetään?", channel="phone")
    answer(number, now + timedelta(days=1))

    line = register.get_request(number)
    assert (line.kind, line.channel, line.received_at, line.due_on, line.identified_by) == (
        RequestKind.ACCESS,
        "phone",
        now,
        date(2026, 4, 2),
        "staff",
    )
    assert (line.status, line.decided_at, line.handler) == (
        RequestStatus.DONE,
        now + timedelta(days=1),
        "staff:1",
    )


def test_rd1_control_of_the_mailbox_is_identity_enough(app, client, make_subscriber, now):
    make_subscriber(MERI)
    page = client.post("/privacy/request?lang=fi", data={"kind": "access", "email": MERI})
    (mail,) = db.session.scalars(sa.select(OutboxMail).where(OutboxMail.template == "rights_link"))
    path = mail.context["url"].removeprefix("http://127.0.0.1:8000")
    waiting = db.session.scalars(sa.select(RightsRequest)).one().status

    looked = client.get(path)
    still = db.session.scalars(sa.select(RightsRequest)).one().status
    client.post(path)

    line = db.session.scalars(sa.select(RightsRequest)).one()
    assert (page.status_code, looked.status_code) == (200, 200)
    assert (waiting, still) == (RequestStatus.UNPROVEN, RequestStatus.UNPROVEN)
    assert (line.status, line.identified_by) == (RequestStatus.OPEN, "mailbox")


@pytest.mark.parametrize("engine", ["sqlite"])
def test_the_form_answers_the_same_for_a_stranger(app, client, make_subscriber):
    make_subscriber(MERI)

    pages = [
        client.post("/privacy/request?lang=fi", data={"kind": "access", "email": address}).text
        for address in (MERI, "vieras@example.com")
    ]

    assert pages[0] == pages[1]


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_copy_by_mail_is_all_in_words(client, ask, make_list, send_due, outgoing, now):
    make_list("lista-1")
    client.post("/subscribe?lang=fi", data={"email": MERI, "lists": "lista-1", "consent": "yes"})
    ask(RequestKind.OBJECTION, scopes=["research"])

    answer(ask(RequestKind.ACCESS), now)
    send_due()

    said = text_of(outgoing.to(MERI)[-1]).replace("\r\n", "\n")
    assert "Miten: Lomakkeella" in said
    assert (
        "Pyynnön numero: 1\nTapahtuma: Vastustaminen (kielto)\nTila: Vastaamatta\n"
        "Saapui: 3.3.2026 klo 11.30\nKanava: Sähköposti\n"
    ) in said
    assert "AVAUKSET JA KLIKKAUKSET\n\nEi tietoja.\n" in said
    assert "Ei tietoja." in html_of(outgoing.to(MERI)[-1])


@pytest.mark.parametrize("engine", ["sqlite"])
def test_the_form_cannot_fill_a_strangers_mailbox(app, make_app, send_due, outgoing):
    anywhere = make_app(signup_limit_ip="1000/minute").test_client()

    answers = [
        anywhere.post("/privacy/request?lang=fi", data={"kind": kind, "email": MERI})
        for kind in ("access", "erasure") * 5
    ]
    send_due()

    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 7
    assert len({answer.text for answer in answers[:3]}) == 1
    # Nobody is told of a link that did not go, and what was filled in stays.
    assert "Emme voi nyt lähettää tähän postilaatikkoon uutta linkkiä." in answers[3].text
    assert f'value="{MERI}"' in answers[3].text
    assert outgoing.subjects == [(MERI, "Vahvista tietojasi koskeva pyyntö")] * 3
    assert len(db.session.scalars(sa.select(RightsRequest)).all()) == 3
    assert "Pyyntösi: Omien tietojen tarkastus" in text_of(outgoing.all[0])
    assert "Linkki on voimassa 10.3.2026 klo 11.30 asti." in text_of(outgoing.all[0])


def test_a_domain_without_a_turn_is_said_too(app, client, monkeypatch):
    monkeypatch.setattr(register, "LINKS_PER_DOMAIN", "1/30day")

    answers = [
        client.post("/privacy/request", data={"kind": "access", "email": email}).status_code
        for email in ("yksi@example.com", "kaksi@example.com")
    ]

    assert answers == [200, 429]
    assert len(db.session.scalars(sa.select(RightsRequest)).all()) == 1
    told = sa.select(AuditEntry).where(AuditEntry.action == "mail domain limit reached")
    assert len(db.session.scalars(told).all()) == 1


@pytest.mark.parametrize("engine", ["sqlite"])
def test_signups_use_up_no_link_of_those_who_ask_for_their_rights(app, make_app):
    crowded = make_app(signup_limit_domain="1/30day").test_client()

    answers = [
        crowded.post("/privacy/request", data={"kind": "access", "email": email}).status_code
        for email in ("yksi@example.com", "kaksi@example.com")
    ]

    assert answers == [200, 200]


def test_one_network_holds_up_no_other_with_its_requests(app, client, now, monkeypatch):
    monkeypatch.setattr(register, "LINKS_PER_DOMAIN", "5/hour")
    for number, ip in enumerate(["198.51.100.1", "198.51.100.2", "203.0.113.7"]):
        client.post(
            "/privacy/request",
            data={"kind": "access", "email": f"yksi{number}@example.com"},
            environ_base={"REMOTE_ADDR": ip},
        )

    mails = db.session.scalars(sa.select(OutboxMail).order_by(OutboxMail.id)).all()
    assert [mail.due_at > now for mail in mails] == [False, True, False]


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_request_that_staff_enter_counts_under_no_limit(ask):
    assert len({ask(RequestKind.ACCESS) for _request in range(5)}) == 5


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 422),
        ({"kind": "nonsense", "email": MERI}, 422),
        ({"kind": "access", "email": "meri"}, 422),
        ({"kind": "objection", "email": MERI}, 422),
    ],
)
@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_form_that_cannot_be_used_stores_nothing(app, client, fields, status):
    assert client.post("/privacy/request", data=fields).status_code == status
    assert db.session.scalars(sa.select(RightsRequest)).all() == []


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_request_whose_mailbox_never_answers_goes(app, now):
    record_request(RequestKind.ACCESS, MERI, channel="form", language="fi", now=now, actor="person")
    db.session.commit()

    gone = [daily.delete_unconfirmed_requests(now + timedelta(days=days)) for days in (7, 8)]

    assert gone == [0, 1]
    with pytest.raises(LinkExpired):
        register.get_unconfirmed(register.CONFIRM_LINK.make(b"x" * 16))


def test_rd2_one_extension_inside_the_first_month_with_notice(app, make_subscriber, ask, now):
    make_subscriber(MERI)
    number = ask(RequestKind.ACCESS)

    extend(number, "Pyyntöjä on paljon.", now=now + timedelta(days=29), actor="staff:1")

    assert register.get_request(number).due_on == date(2026, 6, 2)
    assert "Pyyntöjä on paljon." in str(letters()[0].context["paragraphs"])
    with pytest.raises(TooLateToExtend):
        extend(number, "Taas.", now=now + timedelta(days=30), actor="staff:1")


@pytest.mark.parametrize("engine", ["sqlite"])
def test_rd2_too_late_and_without_a_reason_it_is_not_extended(app, ask, now):
    number = ask(RequestKind.ACCESS)

    with pytest.raises(TooLateToExtend):
        extend(number, "Myöhässä.", now=now + timedelta(days=31), actor="staff:1")
    with pytest.raises(ReasonMissing):
        extend(number, " ", now=now, actor="staff:1")


def test_rd2_what_is_overdue_is_pointed_out_by_mail_once_a_day(app, ask, now):
    ask(RequestKind.ACCESS)
    late = now + timedelta(days=31)

    for _time in range(2):
        daily.run_daily_jobs(late)

    alerts = db.session.scalars(sa.select(OutboxMail).where(OutboxMail.template == "privacy_alert")).all()
    assert [alert.context["found"] for alert in alerts] == [{"overdue": 1}]
    assert alerts[0].address == "tietosuoja@kirjakauppa.example"


def test_rd3_access_is_a_complete_copy(app, make_subscriber, ask, now):
    make_subscriber(MERI)
    number = ask(RequestKind.ACCESS)

    answer(number, now)

    (letter,) = letters()
    assert letter.address == MERI
    assert MERI in json.dumps(letter.context["sections"])


def test_rd3_or_nothing_held(app, ask, now):
    number = ask(RequestKind.ACCESS, "vieras@example.com")

    answer(number, now)

    assert register.get_request(number).status is RequestStatus.NOTHING_HELD
    assert letters()[0].address == "vieras@example.com"


def test_rd4_erasure_leaves_the_line_under_the_hash_and_the_reply(
    real_app, make_subscriber, ask, now, send_due, outgoing
):
    make_subscriber(MERI)
    number = ask(RequestKind.ERASURE)

    answer(number, now)
    send_due()

    line = register.get_request(number)
    assert (line.address, line.details, line.reply, line.subscriber_id) == (None, None, None, None)
    assert (line.status, len(line.address_hash)) == (RequestStatus.DONE, 64)
    assert addresses() == []
    assert outgoing.last["To"] == MERI


@pytest.fixture
def given_away(make_subscriber, now):
    """Meri, whose address went to a printer on paper and to a post office with an address of its own."""
    person = make_subscriber(MERI)
    for recipient, contact in (("Paino Oy", ""), ("Posti Oy", "tiedot@posti.example")):
        disclosures.record_disclosure(
            MERI,
            recipient=recipient,
            contact=contact,
            what="Osoite",
            why="Paperiposti",
            ground="Suostumus",
            now=now,
            actor="staff:1",
        )
    db.session.commit()
    return person


def tasks():
    found = db.session.scalars(sa.select(NotificationTask).order_by(NotificationTask.id)).all()
    return [(task.kind.value, task.recipient, task.actor) for task in found]


def test_rd5_everything_a_person_may_correct_is_put_right_and_said(app, given_away, ask, now):
    number = ask(RequestKind.RECTIFICATION)
    right = Corrections(
        "oikea@example.com", "en", refuses_tracking=True, statement="En ole käynyt messuilla."
    )

    answer(number, now, corrections=right)

    person = db.session.scalars(sa.select(Subscriber)).one()
    assert (person.address, person.language, person.tracking) == (MERI, "en", TrackingState.REFUSED)
    assert [said["text"] for said in collect_personal_data(person)["statements"]] == [
        "En ole käynyt messuilla."
    ]
    assert get_proof(MERI).statements == [(now, "En ole käynyt messuilla.")]
    (own,) = [mail for mail in letters() if mail.address == MERI]
    assert own.context["paragraphs"][1:5] == [
        "Kieli: English",
        "Avausten ja klikkausten seuranta: ei sallittu",
        "Henkilön lausuma: En ole käynyt messuilla.",
        "Osoite: oikea@example.com, kun sinne lähettämämme linkki on vahvistettu"
        " (voimassa 7 päivää; siihen asti: meri@example.com)",
    ]


def confirm_right_address(now):
    (mail,) = [mail for mail in db.session.scalars(sa.select(OutboxMail)) if mail.template == "new_address"]
    change = confirm_change(mail.context["url"].rpartition("/")[2].partition("?")[0], now=now)
    db.session.commit()
    return mail.address, change


def test_mu6_an_address_put_right_is_used_once_its_mailbox_has_confirmed_it(app, given_away, ask, now):
    number = ask(RequestKind.RECTIFICATION)
    answer(number, now, corrections=Corrections("oikea@example.com"))
    before = (
        addresses(),
        tasks(),
        rectification.address_confirmation_status(register.get_request(number), now),
    )

    asked, _person = confirm_right_address(now + timedelta(days=6))

    assert before == (
        [MERI],
        [],
        ("Waits for its mailbox, until %(time)s", now + timedelta(days=7)),
    )
    assert (asked, addresses()) == ("oikea@example.com", ["oikea@example.com"])
    told = db.session.scalars(sa.select(OutboxMail.address).where(OutboxMail.template == "address_changed"))
    assert list(told) == [MERI]
    assert rectification.address_confirmation_status(register.get_request(number), now) == (
        "Confirmed by its mailbox: %(time)s",
        now + timedelta(days=6),
    )
    assert len(register.list_requests(everything=True)) == 1


def test_mu6_an_address_put_right_that_nobody_confirms_is_not_used(app, make_subscriber, ask, now):
    make_subscriber(MERI)
    number = ask(RequestKind.RECTIFICATION)
    answer(number, now, corrections=Corrections("oikea@example.com"))
    kept = delete_old_links(now + timedelta(days=6))

    with pytest.raises(LinkExpired):
        confirm_right_address(now + timedelta(days=7))
    gone = delete_old_links(now + timedelta(days=7))

    assert (kept, gone, addresses()) == (0, 1, [MERI])
    state, _time = rectification.address_confirmation_status(register.get_request(number), now)
    assert state.startswith("Not confirmed in time")


def test_mu6_another_spelling_of_the_same_address_is_put_right_at_once(app, make_subscriber, ask, now):
    make_subscriber(MERI)

    answer(ask(RequestKind.RECTIFICATION), now, corrections=Corrections("Meri@example.com"))

    assert addresses() == ["Meri@example.com"]


def test_rd5_recipients_are_told_by_mail_or_by_a_letter_that_goes_once_they_were(app, given_away, ask, now):
    number = ask(RequestKind.RECTIFICATION)

    answer(number, now, corrections=Corrections("oikea@example.com"))
    confirm_right_address(now)

    assert tasks() == [("recipient", "Paino Oy", None), ("recipient", "Posti Oy", "mail")]
    (mail,) = [mail for mail in letters() if mail.address == "tiedot@posti.example"]
    changed = "Osoite: oikea@example.com (aiemmin: meri@example.com)"
    assert changed in mail.context["paragraphs"]
    (task,) = recipients.list_open_tasks()
    assert changed in recipients.read_task(task.id, now=now, actor="staff:1").letter
    recipients.complete_task(task.id, now=now, actor="staff:1")
    assert (task.letter, task.actor, recipients.list_open_tasks()) == (None, "staff:1", [])


@pytest.mark.parametrize("kind", [RequestKind.ERASURE, RequestKind.RESTRICTION])
@pytest.mark.parametrize("engine", ["sqlite"])
def test_rd5_recipients_are_told_of_erasure_and_restriction_too(real_app, given_away, ask, now, kind):
    answer(ask(kind), now)

    assert tasks() == [("recipient", "Paino Oy", None), ("recipient", "Posti Oy", "mail")]
    (task,) = recipients.list_open_tasks()
    assert MERI in task.letter  # else nobody could tell whom to erase


def test_rd5_the_source_of_wrong_data_is_told(app, make_subscriber, ask, now):
    person = make_subscriber(MERI)
    made = Import(file_name="x", file_hash="x", lists="x", actor="console", started_at=now)
    db.session.add(made)
    db.session.flush()
    row = consent_row(
        ConsentKind.CONFIRMED, person.id, None, None, now=now, method="import", visit=Visit(ip=""), notice=1
    )
    db.session.add(Consent(**row, import_id=made.id, source="Kirjamessut 2025", proof="Lomake 7"))
    db.session.commit()

    answer(ask(RequestKind.RECTIFICATION), now, corrections=Corrections(statement="Kieli oli väärin."))

    assert tasks() == [("source", "Kirjamessut 2025", None)]


def test_rd5_who_changes_the_address_or_erases_on_their_own_pages_has_recipients_told_too(
    real_app, given_away, now
):
    address_changed.send(subscriber=given_away, old="vanha@example.com", link_id=1, now=now)
    send_link(given_away, LinkPurpose.ERASURE, now=now)
    db.session.commit()
    (mail,) = db.session.scalars(sa.select(OutboxMail).where(OutboxMail.template == "fresh_link"))

    erase_own_data(mail.context["url"].rpartition("/")[2].partition("?")[0], now=now)

    assert [name for _kind, name, _actor in tasks()] == ["Paino Oy", "Posti Oy"] * 2
    first, last = recipients.list_open_tasks()
    assert (first.letter, MERI in last.letter) == (None, True)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_rd5_a_rectification_that_cannot_be_done_changes_nothing(app, make_subscriber, ask, now):
    make_subscriber(MERI)
    make_subscriber("toinen@example.com")
    make_subscriber("uusi@example.com", status=SubscriptionStatus.PENDING)
    suppress("estetty@example.com", SuppressionReason.BANNED, now)
    number, of_pending = ask(RequestKind.RECTIFICATION), ask(RequestKind.RECTIFICATION, "uusi@example.com")

    for wrong, error in (
        (Corrections("Toinen@example.com"), AddressTaken),
        (Corrections("toinen"), AddressInvalid),
        (Corrections("estetty@example.com"), AddressSuppressed),
        (Corrections(), ValueMissing),
        (Corrections(MERI, "sv"), ValueMissing),
    ):
        with pytest.raises(error):
            answer(number, now, corrections=wrong)
    with pytest.raises(NothingConfirmed):
        answer(of_pending, now, corrections=Corrections("oikea@example.com"))

    db.session.rollback()
    assert addresses() == [MERI, "toinen@example.com", "uusi@example.com"]


def test_rd6_a_refusal_is_a_certificate_with_reason_and_remedies(app, make_subscriber, ask, now):
    make_subscriber(MERI)
    number = ask(RequestKind.ERASURE)

    refuse(number, "invoice", "Lasku 12 on maksamatta.", now=now, actor="staff:1", reply_by="print")

    line = register.get_request(number)
    assert (line.status, line.reason_code, line.handler) == (RequestStatus.REFUSED, "invoice", "staff:1")
    assert "Lasku 12 on maksamatta." in line.reply
    assert "tietosuoja.fi" in line.reply
    assert letters() == []  # it is printed
    assert addresses() == [MERI]


@pytest.mark.parametrize(("code", "text"), [("", "Siksi."), ("law", " "), ("whim", "Siksi.")])
@pytest.mark.parametrize("engine", ["sqlite"])
def test_rd6_no_refusal_without_reason(app, ask, now, code, text):
    number = ask(RequestKind.ERASURE)

    with pytest.raises(ReasonMissing):
        refuse(number, code, text, now=now, actor="staff:1", reply_by="mail")

    assert register.get_request(number).status is RequestStatus.OPEN


def test_rd7_restriction_stops_sending_and_ends_after_the_person_is_told(
    app, make_list, make_subscriber, ask, send, outgoing, now
):
    fi = make_list()
    person = make_subscriber(MERI, [fi])
    make_subscriber("toinen@example.com", [fi])
    number = ask(RequestKind.RESTRICTION)
    answer(number, now)

    send(fi)

    assert [mail["Subject"] for mail in outgoing.to(MERI) if "Maaliskuun" in mail["Subject"]] == []
    lift_restriction(number, now=now, actor="staff:1")
    db.session.refresh(person)
    assert person.restricted_at is None
    assert len(letters()) == 1


def test_rd8_a_ban_on_all_mail_works_at_once_and_wins_over_imports(app, make_subscriber, ask, now):
    person = make_subscriber(MERI, tracking=TrackingState.GRANTED)
    number = ask(RequestKind.OBJECTION, scopes=["all_mail"])

    answer(number, now)

    db.session.refresh(person)
    assert {item.status for item in person.subscriptions} == {SubscriptionStatus.UNSUBSCRIBED}
    assert person.tracking is TrackingState.REFUSED
    assert is_permanently_suppressed(MERI)

    class Entry:
        address_hash = person.address_hash

    assert _suppressed_hashes([Entry]) == {person.address_hash}


def test_rd8_a_ban_on_direct_marketing_ends_with_an_own_new_order(app, make_subscriber, ask, now):
    make_subscriber(MERI)
    number = ask(RequestKind.OBJECTION, scopes=["direct_marketing", "disclosure"])

    answer(number, now)

    assert find_suppression(MERI).reason is SuppressionReason.OBJECTED
    assert not is_permanently_suppressed(MERI)
    with pytest.raises(disclosures.DisclosureObjected):
        disclosures.record_disclosure(
            MERI, recipient="x", what="x", why="x", ground="x", now=now, actor="staff:1"
        )


@pytest.mark.parametrize("engine", ["sqlite"])
def test_rd8_a_stranger_can_be_banned_too(app, ask, now):
    answer(ask(RequestKind.OBJECTION, "vieras@example.com", scopes=["all_mail"]), now)

    assert is_permanently_suppressed("vieras@example.com")


@pytest.mark.parametrize("engine", ["sqlite"])
def test_an_objection_is_to_something(app, ask):
    with pytest.raises(ScopeMissing):
        ask(RequestKind.OBJECTION)


def test_rd9_portability_is_json_and_csv(app, make_subscriber, now):
    make_subscriber(MERI)

    data = export_collect.read_data_export(MERI, now=now, actor="staff:1")

    rows = list(csv.reader(io.StringIO(export_collect.as_csv(data))))
    assert json.loads(export_collect.as_json(data))["address"] == MERI
    assert ["address", "1", "address", MERI] in rows
    entry = db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry.action == "personal data read"


def test_a_hold_keeps_the_data_from_erasure(real_app, make_subscriber, ask, now):
    make_subscriber(MERI)
    held = disclosures.place_hold(MERI, "collection", "Perintä 7", now=now, actor="staff:1")
    db.session.commit()
    number = ask(RequestKind.ERASURE)

    with pytest.raises(PersonOnHold):
        answer(number, now)

    db.session.rollback()
    assert addresses() == [MERI]
    disclosures.end_hold(held.id, now=now, actor="staff:1")
    db.session.commit()
    answer(number, now)
    assert addresses() == []


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_request_is_answered_once(app, make_subscriber, ask, now):
    make_subscriber(MERI)
    number = ask(RequestKind.RESTRICTION)
    answer(number, now)

    with pytest.raises(RequestClosed):
        answer(number, now)
    with pytest.raises(RequestClosed):
        refuse(number, "law", "Ei.", now=now, actor="staff:1", reply_by="mail")
