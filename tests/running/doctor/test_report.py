"""The doctor: every setting, no secret, and what stands in the way of real use."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from newsletter.db import db
from newsletter.mail.deliverability.lint import find_violations
from newsletter.mail.outbox import enqueue
from newsletter.running import migrations
from newsletter.running.doctor.report import run_checks
from newsletter.running.doctor.settings import check_settings
from tests.support.apps import load_settings
from tests.support.clock import NOW
from tests.support.dkim_keys import rsa_pem, verify
from tests.support.server import ROOT

SECRET = "hunter2-hunter2-hunter2-hunter2-hunter2"
SECRETS = {
    "secret_key": SECRET,
    "suppression_key": SECRET,
    "secret_key_fallbacks": f"{SECRET},{SECRET}",
    "mail_password": SECRET,
}


def test_it_shows_no_secret(make_app):
    with make_app(**SECRETS).app_context():
        data, text, _code = run_checks(NOW)

    assert [SECRET in shown for shown in (text, json.dumps(data))] == [False, False]
    shown = {row["name"]: row["value"] for row in data["settings"]}  # type: ignore[attr-defined]
    assert {shown[f"NEWSLETTER_{name.upper()}"] for name in SECRETS} == {"********"}


@pytest.mark.parametrize(
    "settings",
    [
        {"database_url": f"postgresql://news:{SECRET}@db.example/news"},
        {"database_url": f"postgresql://news@db.example/news?password={SECRET}"},
        {"queue_url": f"redis://:{SECRET}@redis.example/0"},
    ],
)
def test_it_shows_no_password_in_an_address(tmp_path, settings):
    rows = load_settings(tmp_path, **settings).report()

    assert [row for row in rows if SECRET in str(row)] == []


def test_it_says_where_each_setting_comes_from(make_app):
    with make_app(languages="en").app_context():
        data, _text, _code = run_checks(NOW)

    rows = {row["name"]: (row["value"], row["source"]) for row in data["settings"]}  # type: ignore[attr-defined]
    assert rows["NEWSLETTER_LANGUAGES"] == ("en", "environment")
    assert rows["NEWSLETTER_TRACKING"] == ("consent", "default")


SENDING = {
    "mail_server": "mail.example",
    "mail_use_tls": True,
    "base_url": "https://uutiset.example",
} | dict.fromkeys(("secret_key", "suppression_key"), SECRET)


@pytest.mark.parametrize(
    ("settings", "notes"),
    [
        ({}, []),
        ({"sender_name": "", "sender_postal": ""}, ["NEWSLETTER_SENDER_NAME, NEWSLETTER_SENDER_POSTAL"]),
        ({"mail_server": ""}, ["NEWSLETTER_MAIL_SERVER"]),
        ({"mail_use_tls": False}, ["NEWSLETTER_MAIL_USE_TLS"]),
        ({"tracking": "notice"}, ["NEWSLETTER_TRACKING=notice"]),
        ({"base_url": "http://uutiset.example"}, ["NEWSLETTER_BASE_URL"]),
    ],
)
def test_it_notes_what_stands_in_the_way(make_app, settings, notes):
    with make_app(**SENDING | settings).app_context():
        found = check_settings()

    assert len(found) == len(notes)
    assert [word for word, note in zip(notes, found, strict=True) if word not in note] == []


def grades(data):
    return {(point["area"], point["grade"]) for point in data["checks"]}


@pytest.mark.parametrize("engine", ["sqlite"])  # PostgreSQL has a clock of its own, which a test cannot stop
def test_a_trial_installation_is_in_order(real_app, tmp_path):
    data, text, code = run_checks(NOW, folder=tmp_path)

    assert code == 0
    assert data["database"] == {"engine": "sqlite", "revision": migrations.head_revision()}
    assert grades(data) == {
        *(
            (area, "fine")
            for area in ("database", "migrations", "queue", "disk", "keys", "clock", "messages")
        ),
        *((area, "note") for area in ("mail server", "dns")),
    }
    assert "FAILED" not in text
    assert {path.stem for path in tmp_path.glob("*.eml")} == {
        f"{kind}-{tongue}"
        for kind in ("newsletter", "newsletter-measured", "confirmation-mail")
        for tongue in ("fi", "en")
    }


def test_what_is_broken_on_this_machine_is_named_and_the_exit_code_says_so(make_app):
    app = make_app(secret_key="", suppression_key="")
    (Path(app.instance_path) / "secret_key").chmod(0o644)

    with app.app_context():
        data, text, code = run_checks(NOW)

    assert code == 1
    assert ("keys", "failed") in grades(data)
    assert ("migrations", "note") in grades(data)  # nobody has made the tables, and the doctor does not
    assert data["failed"] == text.count("FAILED  ")


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_clock_that_has_gone_back_is_named(real_app):
    context = {"lists": ["Uutiset"], "preferences_url": "x", "unsubscribe_url": "x"}
    enqueue(
        "activated", to="lukija@example.com", language="fi", now=NOW + timedelta(hours=1), context=context
    )
    db.session.commit()

    data, _text, code = run_checks(NOW)

    assert (code, ("clock", "failed") in grades(data)) == (1, True)


def test_the_mail_server_is_greeted_and_a_mail_makes_its_round(make_app, smtp_server):
    app = make_app(**smtp_server.settings, dkim_selector="s1", dkim_key=rsa_pem())

    with app.app_context():
        data, _text, code = run_checks(NOW, "yllapito@example.com")
        (mail,) = smtp_server.messages
        found = find_violations(mail.content, app.config["NEWSLETTER"], is_bulk=False)

    assert (code, {("mail server", "fine"), ("mail", "fine")} <= grades(data)) == (0, True)
    assert (mail.recipients, found) == (("yllapito@example.com",), [])
    assert verify(mail.content, app.config["NEWSLETTER"]) == [True]
    assert [record["name"] for record in data["dkim_records"]] == ["s1._domainkey.kirjakauppa.example"]


def test_a_mail_server_that_refuses_is_a_failure_with_its_words(make_app, smtp_server):
    smtp_server.answer("RCPT", "550 5.1.1 Nobody of that name")

    with make_app(**smtp_server.settings).app_context():
        data, text, code = run_checks(NOW, "yllapito@example.com")

    assert (code, ("mail", "failed") in grades(data)) == (1, True)
    assert "550 5.1.1 Nobody of that name" in text


def test_a_user_name_where_no_login_is_offered_is_no_fault_of_the_encryption(
    make_app, smtp_server, name_server
):
    named = {"mail_username": "kauppa", "mail_password": "salasana"}
    demanding = {"preflight": "always", "dns_server": name_server.setting}

    with make_app(**smtp_server.settings | named | demanding).app_context():
        data, text, code = run_checks(NOW)

    assert (code, ("mail server", "failed") in grades(data)) == (1, True)
    assert "the mail server offers no login that we can use: SMTP AUTH extension not supported" in text
    assert "remove NEWSLETTER_MAIL_USERNAME" in text
    assert "cannot be encrypted" not in text


def test_a_certificate_nobody_trusts_is_a_failure(make_app, start_smtp_server, name_server):
    server = start_smtp_server(starttls=True)
    settings = {"mail_use_tls": True, "preflight": "always", "dns_server": name_server.setting}

    with make_app(**server.settings | settings).app_context():
        data, text, code = run_checks(NOW)

    assert (code, {("mail server", "failed"), ("tls", "failed"), ("spf", "failed")} <= grades(data)) == (
        1,
        True,
    )
    assert "certificate verify failed" in text


@pytest.mark.parametrize("engine", ["sqlite"])
def test_the_command_ends_with_one_where_something_failed(real_app, tmp_path):
    environ = {"MAIL_SERVER": "127.0.0.1", "MAIL_PORT": "9", "INSTANCE_PATH": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-m", "newsletter", "doctor", "--json"],
        env=os.environ | {f"NEWSLETTER_{name}": text for name, text in environ.items()},
        cwd=ROOT,
        capture_output=True,
        check=False,
    )

    assert (done.returncode, json.loads(done.stdout)["failed"]) == (1, 1)
