"""SB-8: a bulk send waits until our mail would arrive; only an administrator lets it go before that."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import CampaignStatus, HeldReason
from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.deliverability import status
from newsletter.mail.models import DeliverabilityResult, Grade
from newsletter.running import periodic
from newsletter.sending.lifecycle.preflight import StandingLow, check_campaign
from newsletter.sending.lifecycle.release import release_campaign, start_due, withdraw
from newsletter.sending.lifecycle.start import start_campaign
from tests.support.apps import on_its_own
from tests.support.clock import NOW


@pytest.fixture
def found(app):
    """Keep findings as a worker would: ``found(dmarc=Grade.FAILED)``."""

    def keep(at=NOW, **grades):
        for code in ("spf", "dkim", "dmarc", "ptr", "mx", "tls", "one_click"):
            grade = grades.get(code, Grade.FINE)
            word = {Grade.FINE: "tls_here", Grade.FAILED: "dmarc_missing", Grade.UNKNOWN: "unanswered"}[grade]
            details = {"name": "_dmarc.kirjakauppa.example"}
            db.session.merge(
                DeliverabilityResult(code=code, grade=grade, word=word, details=details, checked_at=at)
            )
        db.session.commit()

    return keep


@pytest.fixture
def demanding(app, make_app):
    """The application of the test, as one that is in real use."""
    with make_app(preflight="always").app_context():
        yield


@pytest.fixture
def draft(make_list, make_subscriber, make_campaign):
    fi = make_list()
    make_subscriber(lists=[fi])
    return make_campaign([fi])


def acts():
    return [
        (entry.action, entry.actor)
        for entry in db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id))
    ]


def test_sb8_all_in_order_lets_it_go(demanding, draft, found):
    found()

    assert check_campaign(draft, now=NOW) == []
    assert release_campaign(draft.id, at=None, now=NOW, actor="staff:1").status is CampaignStatus.SENDING


@pytest.mark.parametrize("go", [
    lambda draft: release_campaign(draft.id, at=None, now=NOW, actor="staff:1"),
    lambda draft: release_campaign(draft.id, at=NOW + timedelta(hours=1), now=NOW, actor="staff:1"),
    lambda draft: start_campaign(draft.id, now=NOW, actor="token:1"),
])  # fmt: skip
def test_sb8_what_failed_keeps_it_back(demanding, draft, found, go):
    found(dmarc=Grade.FAILED, spf=Grade.FAILED)

    with pytest.raises(StandingLow) as refused:
        go(draft)

    assert refused.value.values == {"codes": "spf, dmarc"}
    assert [(item.code, item.is_error, item.is_overridable) for item in check_campaign(draft, now=NOW)] == [
        ("spf", True, True),
        ("dmarc", True, True),
    ]


def test_sb8_nobody_having_looked_keeps_it_back(demanding, draft, found):
    with pytest.raises(StandingLow, match="standing_unknown"):
        release_campaign(draft.id, at=None, now=NOW, actor="staff:1")
    found(at=NOW - status.STALE_AFTER - timedelta(minutes=1))

    with pytest.raises(StandingLow, match="standing_unknown"):
        release_campaign(draft.id, at=None, now=NOW, actor="staff:1")


def test_sb8_what_could_not_be_asked_is_shown_and_keeps_nothing_back(demanding, draft, found):
    found(mx=Grade.UNKNOWN)

    assert [(item.code, item.is_error) for item in check_campaign(draft, now=NOW)] == [("mx", False)]
    assert release_campaign(draft.id, at=None, now=NOW, actor="staff:1").status is CampaignStatus.SENDING


def test_sb8_an_administrator_lets_it_go_and_the_log_says_so(demanding, draft, found):
    found(dmarc=Grade.FAILED)

    release_campaign(draft.id, at=NOW + timedelta(hours=1), now=NOW, actor="staff:7", despite=True)
    db.session.commit()

    # At its time as well: the decision was made for the campaign.
    assert start_due(NOW + timedelta(hours=1)) == 1
    assert acts()[-3:] == [
        ("preflight overridden", "staff:7"),
        ("campaign scheduled", "staff:7"),
        ("campaign sent", "system"),
    ]
    entry = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "preflight overridden")).one()
    assert (entry.object, entry.details) == (f"campaign:{draft.id}", {"findings": ["dmarc"]})


def test_sb8_a_decision_ends_with_the_schedule(demanding, draft, found):
    found(dmarc=Grade.FAILED)
    release_campaign(draft.id, at=NOW + timedelta(hours=1), now=NOW, actor="staff:7", despite=True)

    withdraw(draft.id, now=NOW, actor="staff:1")

    with pytest.raises(StandingLow):
        release_campaign(draft.id, at=None, now=NOW, actor="staff:1")


def test_sb8_where_nothing_is_wrong_there_is_nothing_to_override(demanding, draft, found):
    found()

    release_campaign(draft.id, at=None, now=NOW, actor="staff:7", despite=True)

    assert ("preflight overridden", "staff:7") not in acts()


def test_sb8_a_schedule_whose_ground_gave_way_waits_for_a_person(demanding, draft, found):
    found()
    release_campaign(draft.id, at=NOW + timedelta(hours=1), now=NOW, actor="staff:1")
    found(dkim=Grade.FAILED)

    assert start_due(NOW + timedelta(hours=1)) == 0
    assert draft.held_reason is HeldReason.REFUSED


@pytest.mark.parametrize(
    ("demands", "settings"),
    [
        (False, {}),
        (False, {"mail_server": "mail.example"}),
        (False, {"mail_server": "mail.example", "base_url": "https://uutiset.kirjakauppa.example"}),
        (
            False,
            {"base_url": "https://uutiset.kirjakauppa.example", "sender_address": "a@kirjakauppa.invalid"},
        ),
        (
            True,
            {
                "mail_server": "mail.example",
                "base_url": "https://u.example",
                "sender_address": "a@kirja.fi.arpa",
            },
        ),
        (False, {"mail_server": "mail.example", "sender_address": "a@kirja.fi.arpa"}),
        (True, {"preflight": "always"}),
    ],
)
def test_sb8_nothing_is_demanded_while_trying_out(make_app, demands, settings):
    assert status.is_required(make_app(**settings).config["NEWSLETTER"]) is demands


def test_a_worker_finds_out_and_keeps_it_and_asks_no_more_than_it_must(real_app, make_app, name_server):
    asking = make_app(preflight="always", dns_server=name_server.setting)
    name_server.zone = {"kirjakauppa.example MX": ["0 ."]}

    on_its_own(asking, periodic.refresh_deliverability)
    asked = len(name_server.asked)
    on_its_own(asking, periodic.refresh_deliverability)

    assert {row.code: row.word for row in status.latest_results()} == {
        "spf": "spf_missing", "dkim": "dkim_left", "dmarc": "dmarc_missing", "ptr": "ptr_left", "mx": "mx_null",
        "tls": "tls_no_server", "one_click": "one_click_http", "envelope": "envelope_same", "ehlo": "ehlo_left",
        "advice": "advice_missing",
    }  # fmt: skip
    assert (len(name_server.asked), asked > 0) == (asked, True)
    on_its_own(asking, status.refresh_if_due, NOW + timedelta(minutes=11))
    assert len(name_server.asked) == 2 * asked
    assert {row.checked_at for row in status.latest_results()} == {NOW + timedelta(minutes=11)}


def test_what_is_wrong_is_looked_at_again_sooner(app, found):
    ages = (timedelta(minutes=11), timedelta(hours=6, minutes=1))

    found()
    fine = [status.is_due(NOW + age) for age in ages]
    found(mx=Grade.FAILED)
    wrong = [status.is_due(NOW + age) for age in ages]

    assert (fine, wrong) == ([False, True], [True, True])


def test_while_trying_out_nobody_is_asked(real_app, make_app, name_server):
    on_its_own(make_app(dns_server=name_server.setting), periodic.refresh_deliverability)

    assert (name_server.asked, status.latest_results()) == ([], [])
