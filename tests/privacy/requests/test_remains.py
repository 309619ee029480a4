"""Requests of people who are not here: answered exactly, and nothing that identifies is left."""

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.mail.models import OutboxMail
from newsletter.privacy.models import JobSlot, Objection, RequestKind, RequestStatus, RightsRequest
from newsletter.privacy.requests.fulfil import fulfil_request, refuse
from newsletter.privacy.requests.register import record_request
from newsletter.privacy.retention.erasure import erase_people
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.consent.evidence import Visit, record_consent
from newsletter.subscribers.models import ConsentKind, SuppressionReason
from newsletter.subscribers.suppressions import suppress
from tests.subscribers.conftest import change_settings
from tests.support.clock import NOW

__all__ = ["change_settings"]

MERI = "meri@example.com"
PROOF = "– Todiste suostumuksistasi ja niiden ajankohdista 31.12.2029 asti:"
BLOCK = "– Osoitteesi esto, jotta emme enää lähetä sinulle viestejä."
REQUEST = "– Pyyntösi numero, päivämäärät ja vastauksemme 31.12.2029 asti:"


@pytest.fixture
def ask(app):
    def enter(kind=RequestKind.ACCESS, scopes=()) -> RightsRequest:
        made = record_request(
            kind,
            MERI,
            channel="mail",
            language="fi",
            now=NOW,
            actor="staff:1",
            details="Olen Meri.",
            scopes=scopes,
        )
        db.session.commit()
        return made

    return enter


def answer(request: RightsRequest) -> RightsRequest:
    return fulfil_request(request.id, now=NOW, actor="staff:1", reply_by="mail")


def lines(request: RightsRequest) -> list[str]:
    return [line for line in str(request.reply).split("\n\n") if line.startswith("–")]


@pytest.fixture
def erased(app, make_subscriber):
    """Somebody who confirmed, was suppressed and has been erased since."""
    person = make_subscriber(MERI)
    (subscription,) = person.subscriptions
    record_consent(
        ConsentKind.CONFIRMED,
        person,
        now=NOW,
        method="button",
        visit=Visit(ip="203.0.113.7"),
        mailing_list=subscription.mailing_list,
    )
    suppress(MERI, SuppressionReason.COMPLAINED, NOW)
    db.session.commit()
    erase_people([person.id], now=NOW)


def test_after_an_erasure_the_answer_says_exactly_what_is_kept(erased, ask):
    answered = answer(ask())

    assert answered.status is RequestStatus.DONE
    kept = lines(answered)
    assert [line.startswith(begin) for line, begin in zip(kept, (PROOF, BLOCK, REQUEST), strict=True)] == [
        True,
        True,
        True,
    ]


@pytest.mark.parametrize("kind", RequestKind)
def test_what_identifies_goes_with_the_answer(app, ask, kind):
    scopes = ["disclosure"] if kind is RequestKind.OBJECTION else []

    answered = answer(ask(kind, scopes=scopes))

    assert (answered.address, answered.details) == (None, None)
    assert answered.address_hash == hash_address(MERI)
    assert MERI not in str(answered.reply)
    assert db.session.scalar(sa.select(JobSlot.slot).where(JobSlot.job == "scrub")) == "due"


def test_a_refusal_to_nobody_leaves_nothing_that_identifies(app, ask):
    request = ask()

    refuse(
        request.id, "unfounded", "Kolmas pyyntö tällä viikolla.", now=NOW, actor="staff:1", reply_by="print"
    )

    assert (request.address, request.details) == (None, None)
    assert "Kolmas pyyntö" in str(request.reply)


def test_a_subscriber_keeps_the_address_in_the_register_until_the_erasure(app, make_subscriber, ask):
    make_subscriber(MERI)

    assert answer(ask()).address == MERI


def test_an_objection_of_somebody_who_never_subscribed_is_carried_out_and_confirmed(app, ask, stored):
    answered = answer(ask(RequestKind.OBJECTION, scopes=["disclosure", "lists"]))

    assert answered.status is RequestStatus.DONE
    assert sorted(row.scope for row in stored(Objection)) == ["disclosure", "lists"]
    (mail,) = stored(OutboxMail)
    assert mail.address == MERI
    assert mail.context["paragraphs"][:2] == [
        "Kieltosi on voimassa: Luettelot ja hakemistot, Luovutus muille",
        "Et ole tilaajamme, emmekä säilytä osoitettasi tätä varten.",
    ]


def test_a_stranger_hears_that_only_the_request_is_kept(app, ask):
    answered = answer(ask())

    assert answered.status is RequestStatus.NOTHING_HELD
    (line,) = lines(answered)
    assert line.startswith(REQUEST)


def test_the_answer_to_an_erasure_says_what_stays(real_app, app, make_subscriber, ask):
    person = make_subscriber(MERI)
    suppress(MERI, SuppressionReason.COMPLAINED, NOW)
    record_consent(
        ConsentKind.CONFIRMED, person, now=NOW, method="button", visit=Visit(ip="203.0.113.7"),
        mailing_list=person.subscriptions[0].mailing_list,
    )  # fmt: skip
    db.session.commit()
    request = ask(RequestKind.ERASURE)

    answer(request)

    mail = db.session.scalars(sa.select(OutboxMail).where(OutboxMail.template == "rights_reply")).one()
    said = mail.context["paragraphs"]
    assert [line.startswith("–") for line in said].count(True) == 3
    assert any(line.startswith(PROOF) for line in said)


def test_the_answer_names_the_recipients_of_the_notice_and_its_register(
    app, make_subscriber, ask, change_settings
):
    change_settings(notice_recipients="Postituspalvelu Oy")
    make_subscriber(MERI)

    reply = str(answer(ask()).reply)

    assert "Tietojen vastaanottajat tietosuojaselosteen mukaan: Postituspalvelu Oy." in reply
    assert "Vastaus koskee uutiskirjerekisteriämme." in reply


def test_the_command_clears_requests_and_says_what_is_kept(real_app, ask, make_subscriber):
    request = ask()
    answer(request)
    db.session.execute(sa.update(RightsRequest).values(address=MERI))
    db.session.commit()
    suppress(MERI, SuppressionReason.COMPLAINED, NOW)
    db.session.commit()

    done = real_app.test_cli_runner().invoke(args=["privacy", "erase", MERI])

    assert done.exit_code == 0, done.output
    assert "Requests cleared of it: 1. Kept, as a code:\n  A block of your address" in done.output
    db.session.expire_all()
    assert [row.address for row in db.session.scalars(sa.select(RightsRequest))] == [None]


def test_the_command_refuses_an_address_that_nothing_is_kept_of(real_app):
    done = real_app.test_cli_runner().invoke(args=["privacy", "erase", MERI])

    assert done.exit_code == 1
