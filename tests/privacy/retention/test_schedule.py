"""The register of retention says one thing everywhere."""

import json

from newsletter.privacy.retention.schedule import schedule_lines
from newsletter.web.i18n import force_language
from tests.support.apps import on_its_own


def test_the_numbers_are_those_of_the_settings(make_app):
    app = make_app(keep_proof_years=5, keep_audit_months=12, keep_backups_days=10)

    with app.app_context(), force_language("en"):
        lines = {line.key: line.how_long for line in schedule_lines()}

    assert (lines["proof"], lines["audit"], lines["backup"]) == (
        "Until the end of year 5 after the erasure",
        "12 months",
        "10 days",
    )


def test_the_command_shows_every_line_with_its_columns(app):
    result = on_its_own(app, lambda: app.test_cli_runner().invoke(args=["privacy", "schedule", "--json"]))

    lines = {line["key"]: line for line in json.loads(result.stdout)}
    assert lines["ip"]["columns"] == ["events.ip"]
    assert lines["staff"]["what"] == "Staff accounts: address, and what proves who logs in"


def test_what_concerns_staff_alone_stands_in_no_notice(app):
    assert {line.key for line in schedule_lines(everything=True)} - {
        line.key for line in schedule_lines()
    } == {"staff", "staff_session", "invitation", "run"}
