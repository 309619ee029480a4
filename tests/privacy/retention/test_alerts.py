"""Alerts about data protection: who hears of them, and that somebody is told when nobody does."""

import json
from datetime import timedelta

import pytest

from newsletter.db import db
from newsletter.mail.models import OutboxMail
from newsletter.privacy.models import RequestKind
from newsletter.privacy.requests.register import record_request
from newsletter.privacy.retention.daily import send_reminders
from newsletter.running.doctor.settings import check_settings
from newsletter.running.monitoring.alerts import list_alerts
from newsletter.staff.models import Role
from newsletter.subscribers.models import SubscriptionStatus
from newsletter.web.i18n import force_language
from tests.subscribers.conftest import change_settings
from tests.support.clock import NOW

__all__ = ["change_settings"]

NAMED = "Maija Meikäläinen, p. 09 123 4567"
ALERTS = ("tietosuoja@yritys.example", "it@yritys.example")
#: contact, alerts, on this machine alone: who hears.
CASES = [
    (NAMED, ALERTS, list(ALERTS)),
    (NAMED, (), []),
    ("tietosuoja@yritys.example", (), ["tietosuoja@yritys.example"]),
    ("tietosuoja@yritys.example", ("it@yritys.example",), ["it@yritys.example"]),
]


@pytest.fixture
def run_privacy(app):
    return lambda *words: app.test_cli_runner().invoke(args=["privacy", *words])


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize(("contact", "alerts", "told"), CASES)
def test_alerts_go_to_those_who_are_named_for_them(app, change_settings, stored, contact, alerts, told):
    change_settings(privacy_contact=contact, privacy_alerts=alerts)
    record_request(
        RequestKind.ACCESS, "meri@example.com", channel="mail", language="fi", now=NOW, actor="staff:1"
    )
    db.session.commit()

    send_reminders(NOW + timedelta(days=40))

    assert [mail.address for mail in stored(OutboxMail) if mail.template == "privacy_alert"] == told


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize(("contact", "alerts", "told"), [*CASES, ("", (), ["nobody asks while trying out"])])
def test_doctor_and_the_overview_say_when_nobody_hears(app, change_settings, contact, alerts, told):
    change_settings(privacy_contact=contact, privacy_alerts=alerts)

    with force_language("fi"), app.test_request_context():
        shown = [alert.text for alert in list_alerts(Role.PRIVACY, None, [], days=30, now=NOW)]

    doctor = any("NEWSLETTER_PRIVACY_ALERTS" in line for line in check_settings())
    page = "Tietosuojahälytykset eivät mene kenellekään. Aseta PRIVACY_ALERTS-asetukseen sähköpostiosoitteet."
    assert (doctor, page in shown) == (not told, not told)


def test_a_name_is_no_address_for_alerts(make_app):
    with pytest.raises(Exception, match="NEWSLETTER_PRIVACY_ALERTS: give e-mail addresses"):
        make_app(privacy_alerts="Maija Meikäläinen")


# --- what the commands say -------------------------------------------------------------------------


def test_a_dry_run_counts_as_the_run_of_the_day_given(app, make_subscriber, run_privacy):
    make_subscriber(created_at=NOW, status=SubscriptionStatus.UNSUBSCRIBED)

    counted = json.loads(run_privacy("purge", "--dry-run", "--as-of", "2027-01-15", "--json").stdout)
    before = json.loads(run_privacy("purge", "--dry-run", "--as-of", "2026-01-15", "--json").stdout)

    assert (counted["people"], counted["as_of"]) == (1, "2027-01-15")
    assert (before["people"], before["as_of"]) == (0, "2026-01-15")


def test_a_dry_run_outside_january_says_that_january_counts_more(app, run_privacy):
    assert "see --as-of" in run_privacy("purge", "--dry-run").stdout


def test_a_day_is_only_for_counting(app, run_privacy):
    done = run_privacy("purge", "--as-of", "2027-01-15", "--any-day")

    assert (done.exit_code, "--as-of only counts" in done.stderr) == (2, True)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_copy_of_ones_data_is_not_written_under_a_name_that_says_nothing(
    app, make_subscriber, run_privacy, tmp_path
):
    make_subscriber("meri@example.com")
    out = tmp_path / "kopio.xyz"

    done = run_privacy("access", "meri@example.com", "--out", str(out))

    assert (done.exit_code, out.exists()) == (2, False)
    assert ".json, .csv or .html" in done.stderr
