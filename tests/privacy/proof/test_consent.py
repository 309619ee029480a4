"""The proof of a consent, as the command line gives it: of people who are here and of people who went."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.models import MailStatus, OutboxMail
from newsletter.privacy.proof.consent import NoConsentHeld, get_proof
from newsletter.privacy.retention.erasure import erase_person
from newsletter.subscribers.addresses import parse_address
from newsletter.subscribers.consent.evidence import Visit, seal_ledger
from newsletter.subscribers.consent.texts import get_consent_text
from newsletter.subscribers.models import Purpose, Subscriber
from newsletter.subscribers.self_service.unsubscribe import unsubscribe_from
from newsletter.subscribers.signup.confirm import confirm
from newsletter.subscribers.signup.request import SignupForm
from newsletter.subscribers.signup.store import request_subscription

ADDRESS = "meri@example.com"
FORM = Visit(ip="203.0.113.7", user_agent="Selain 1", form_url="https://www.kirjakauppa.example/tilaa")
MAIL = Visit(ip="198.51.100.2", user_agent="Selain 2")


@pytest.fixture
def mailing_list(make_list):
    return make_list("suomeksi", "Suomenkielinen uutiskirje")


@pytest.fixture
def subscribe(app, mailing_list, now):
    """Sign up for the list and confirm: ``subscribe(after=timedelta(seconds=2))`` of the mail's arrival."""

    def go(after=timedelta(minutes=5), *, tracking=False, at=now, agent=MAIL.user_agent):
        form = SignupForm(
            address=parse_address(ADDRESS), list_ids=[mailing_list.id], language="fi", wants_tracking=tracking
        )
        request_subscription(form, now=at, visit=FORM)
        mail = db.session.scalars(sa.select(OutboxMail).order_by(OutboxMail.id.desc()).limit(1)).one()
        token = (mail.context or {})["confirm_url"].partition("/confirm/")[2].partition("?")[0]
        accepted_at = at + timedelta(seconds=4)
        mail.status, mail.accepted_at = MailStatus.ACCEPTED, accepted_at
        confirm(token, now=accepted_at + after, visit=replace(MAIL, user_agent=agent))
        db.session.commit()
        return db.session.scalars(sa.select(Subscriber)).one()

    return go


@pytest.fixture
def run(app):
    """Run ``newsletter privacy proof`` and return what it printed."""

    def command(*arguments):
        done = app.test_cli_runner().invoke(args=["privacy", "proof", *map(str, arguments)])
        assert done.exit_code == 0, done.output
        return done.output

    return command


def test_the_proof_has_all_that_is_known_of_a_consent(subscribe, now):
    subscribe()
    seal_ledger()

    (history,) = get_proof(ADDRESS).histories

    asked, confirmed = history.facts
    words = get_consent_text(Purpose.NEWSLETTER, "fi")
    assert (asked.list_name, asked.wording, asked.wording_version, asked.notice_version, asked.language) == (
        "Suomenkielinen uutiskirje", words, 1, 1, "fi",
    )  # fmt: skip
    assert (asked.at, asked.form_url, asked.ip, asked.user_agent) == (
        now, "https://www.kirjakauppa.example/tilaa", "203.0.113.7", "Selain 1",
    )  # fmt: skip
    assert asked.mail_accepted_at == now + timedelta(seconds=4)
    assert (confirmed.kind, confirmed.at, confirmed.ip, confirmed.user_agent, confirmed.method) == (
        "confirmed", now + timedelta(minutes=5, seconds=4), "198.51.100.2", "Selain 2", "button",
    )  # fmt: skip
    assert [fact.is_sealed for fact in history.facts] == [True, True]


def test_each_list_and_the_tracking_are_consents_of_their_own(subscribe):
    subscribe(tracking=True)

    histories = get_proof(ADDRESS).histories

    assert [[fact.kind for fact in history.facts] for history in histories] == [["asked", "confirmed"]] * 2
    assert [history.facts[0].list_name for history in histories] == ["Suomenkielinen uutiskirje", None]


def test_who_left_and_came_back_consented_twice(subscribe, now):
    unsubscribe_from(subscribe(), None, now=now + timedelta(days=1), method="one-click", visit=MAIL)
    db.session.commit()
    subscribe(at=now + timedelta(days=2))

    histories = get_proof(ADDRESS).histories

    assert [[fact.kind for fact in history.facts] for history in histories] == [
        ["asked", "confirmed", "withdrawn"],
        ["asked", "confirmed"],
    ]
    assert (histories[0].facts[2].at, histories[0].facts[2].method) == (now + timedelta(days=1), "one-click")


@pytest.mark.parametrize(
    ("seconds", "agent", "remarks"),
    [
        (2.9, "Selain 2", ["hasty"]),
        (3, "Selain 2", []),
        (60, "curl/8.5.0", ["scanner"]),
        (60, "Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/140.0", ["scanner"]),
        (60, "", ["scanner"]),
        (1, "BarracudaCentral Sentinel", ["hasty", "scanner"]),
    ],
)
def test_a_confirm_as_a_scanner_makes_it_counts_and_is_remarked_on(subscribe, seconds, agent, remarks):
    """CO-6."""
    subscribe(after=timedelta(seconds=seconds), agent=agent)

    (history,) = get_proof(ADDRESS).histories

    assert [fact.remarks for fact in history.facts] == [[], remarks]
    assert [fact.kind for fact in history.facts] == ["asked", "confirmed"]


def test_of_somebody_erased_the_proof_is_found_and_says_until_when(real_app, subscribe, now):
    subscribe()
    erase_person(ADDRESS, now=now + timedelta(days=1), actor="console")

    proof = get_proof(" Meri@Example.com ")

    (fact,) = proof.facts
    assert (proof.is_held, str(proof.kept_until)) == (False, "2029-12-31")
    assert (fact.kind, fact.wording_version, fact.ip, fact.user_agent, fact.form_url) == (
        "confirmed", 1, None, None, None,
    )  # fmt: skip


def test_of_a_stranger_nothing_is_held(app):
    with pytest.raises(NoConsentHeld):
        get_proof("muu@example.com")


def test_reading_a_proof_is_recorded_without_the_address(subscribe, run):
    subscriber = subscribe()

    run(ADDRESS)

    entry = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "consent proof read")).one()
    assert (entry.actor, entry.object) == ("console", f"subscriber:{subscriber.id}")
    assert ADDRESS not in str(entry.details)


def test_the_command_prints_json(subscribe, run):
    subscribe()

    printed = json.loads(run(ADDRESS, "--json"))

    assert (printed["address"], printed["is_held"]) == (ADDRESS, True)
    assert [fact["kind"] for fact in printed["facts"]] == ["asked", "confirmed"]


@pytest.mark.parametrize(
    ("language", "heading", "when"),
    [
        ("fi", "Todiste suostumuksesta", "2026-03-03 09:30:00 UTC</time> (3.3.2026 klo 11.30)"),
        ("en", "Proof of consent", "2026-03-03 09:30:00 UTC</time> (Mar 3, 2026, 11:30"),
    ],
)
def test_the_page_to_print_is_one_file_that_needs_nothing_else(
    subscribe, run, tmp_path, language, heading, when
):
    """SU-5."""
    subscribe()
    page = tmp_path / "proof.html"

    run(ADDRESS, "--language", language, "--out", page)

    text = page.read_text(encoding="utf-8")
    assert f'<html lang="{language}">' in text
    assert f"<h1>{heading}</h1>" in text
    assert when in text
    for shown in (ADDRESS, get_consent_text(Purpose.NEWSLETTER, "fi"), "203.0.113.7", "Selain 2"):
        assert shown in text
    assert not any(needed in text for needed in ("<script", "<link", "src=", "href=", "url(", "@import"))


def test_the_page_of_somebody_erased_says_what_is_left_and_why(real_app, subscribe, run, tmp_path, now):
    subscribe()
    erase_person(ADDRESS, now=now + timedelta(days=1), actor="console")
    page = tmp_path / "proof.html"

    run(ADDRESS, "--language", "fi", "--out", page)

    text = page.read_text(encoding="utf-8")
    assert "Henkilön tiedot on poistettu." in text
    assert "Säilytys päättyy: 31.12.2029." in text
    assert "<dt>IP-osoite</dt><dd>poistettu</dd>" in text
