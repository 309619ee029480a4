"""The doctor: every setting, no secret, and what stands in the way of real use."""

import json

import pytest

from newsletter.running.doctor import examine
from tests.support.apps import load_settings

SECRET = "hunter2-hunter2-hunter2-hunter2-hunter2"
SECRETS = {
    "secret_key": SECRET,
    "suppression_key": SECRET,
    "secret_key_fallbacks": f"{SECRET},{SECRET}",
    "mail_password": SECRET,
}


def test_it_shows_no_secret(make_app):
    with make_app(**SECRETS).app_context():
        data, text = examine()

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
        data, _text = examine()

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
        data, _text = examine()

    assert len(data["notes"]) == len(notes)  # type: ignore[arg-type]
    assert [word for word, note in zip(notes, data["notes"], strict=True) if word not in note] == []  # type: ignore[call-overload]
