"""The overview names what needs attention, to those who can do something about it."""

from datetime import timedelta

import pytest

from newsletter.campaigns.models import CampaignStatus, HeldReason
from newsletter.db import db
from newsletter.ledger import audit
from newsletter.mail import outbox
from newsletter.mail.models import MailStatus
from newsletter.privacy.models import RequestKind
from newsletter.privacy.requests import register
from newsletter.staff.auth.access import UNDERTAKING_VERSION, make_uniquifier
from newsletter.staff.models import Role, Staff
from tests.staff.conftest import sign_in_as
from tests.subscribers.pages import Page
from tests.support.clock import NOW

STUCK = "Perille menemättömiä yksittäisiä viestejä: 1"
PAUSED = "Maaliskuun uutiset: Lähetys on keskeytetty."
HELD = "Huhtikuun uutiset: Lähetysaika on tullut, mutta lähetys odottaa ratkaisua."


@pytest.fixture
def matters(client):
    def of(role: Role, lists: list[str] | None = None) -> list[str]:
        account = Staff(
            email=f"{role.value}.{make_uniquifier()[:8]}@kirjakauppa.example",
            password="",
            fs_uniquifier=make_uniquifier(),
            role=role,
            created_at=NOW,
            totp_secret="x",
            lists=lists,
            undertaken_at=NOW,
            undertaking_version=UNDERTAKING_VERSION,
        )
        db.session.add(account)
        db.session.commit()
        sign_in_as(client, account)
        return Page(client.get("/staff/overview")).texts(".concerns li")

    return of


@pytest.fixture
def troubles(make_list, make_campaign):
    """A mail that failed, a paused campaign, one that is held at its time, and an overdue request."""
    mail = outbox.enqueue("activated", to="meri@example.com", language="fi", now=NOW, context={})
    mail.status = MailStatus.FAILED
    paused = make_campaign([make_list("oma")])
    paused.status, paused.started_at = CampaignStatus.PAUSED, NOW
    held = make_campaign([make_list("toinen")], subject="Huhtikuun uutiset")
    held.status, held.held_reason = CampaignStatus.SCHEDULED, next(iter(HeldReason))
    long_ago = NOW - timedelta(days=60)
    register.record_request(
        RequestKind.ERASURE, "meri@example.com", channel="mail", language="fi", now=long_ago, actor="staff:1"
    )
    audit.record("chains verified", actor="staff:1", now=NOW, faults=2)
    db.session.commit()


def test_each_level_sees_what_it_can_mend(matters, troubles, clock):
    clock.shift(timedelta(minutes=1))
    overdue = "Pyynnöt, jotka ovat myöhässä: 1"
    broken = "Kun ketjut viimeksi tarkistettiin, kaikki ei ollut niin kuin se sinetöitiin."

    assert (matters(Role.VIEWER), matters(Role.EDITOR)) == ([], [])
    assert matters(Role.SENDER) == [PAUSED, HELD, STUCK]
    assert matters(Role.PRIVACY) == [STUCK, overdue, broken]
    assert matters(Role.ADMIN)[:5] == [PAUSED, HELD, STUCK, overdue, broken]


def test_who_is_limited_to_lists_sees_the_matters_of_those(matters, troubles, clock):
    clock.shift(timedelta(minutes=1))

    assert matters(Role.SENDER, ["oma"]) == [PAUSED]
    assert matters(Role.SENDER, ["toinen"]) == [HELD]


def test_chains_that_were_found_whole_since_are_no_matter(matters, troubles, clock):
    audit.record("chains verified", actor="staff:1", now=NOW + timedelta(seconds=5), faults=0)
    db.session.commit()
    clock.shift(timedelta(minutes=1))

    assert len(matters(Role.PRIVACY)) == 2


def test_the_page_where_it_stood_leads_to_where_it_stands(client, matters):
    matters(Role.VIEWER)

    answer = client.get("/staff/attention?lang=en")

    assert (answer.status_code, answer.location) == (301, "/staff/overview?lang=en")
    assert "Needs attention" not in client.get(answer.location).text


def test_mails_that_nobody_takes_are_named(matters, clock):
    outbox.enqueue("activated", to="meri@example.com", language="fi", now=NOW, context={})
    db.session.commit()
    clock.shift(timedelta(minutes=20))

    assert (
        "Viestit odottavat, eikä mikään työprosessi lähetä niitä. Tarkista, että työprosessi on käynnissä."
        in [*matters(Role.SENDER)]
    )


@pytest.mark.parametrize(
    ("role", "is_told"), [(Role.SENDER, True), (Role.PRIVACY, True), (Role.VIEWER, False)]
)
def test_a_limit_of_a_mail_provider_that_bites_is_told(matters, role, is_told):
    audit.record("mail domain limit reached", actor="system", now=NOW - timedelta(hours=23))
    outbox.enqueue(
        "confirm", to="meri@example.com", language="fi", now=NOW, context={}, due_at=NOW + timedelta(hours=1)
    )
    db.session.commit()

    words = "saavutti tuntirajansa. Vuoroaan odottavia vahvistusviestejä: 1"
    assert any(words in line for line in matters(role)) is is_told


def test_a_limit_that_bit_the_day_before_is_not_told(matters):
    audit.record("mail domain limit reached", actor="system", now=NOW - timedelta(hours=25))
    db.session.commit()

    assert not [line for line in matters(Role.SENDER) if "tuntirajansa" in line]
