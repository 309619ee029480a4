"""A strict reader of our own messages: fine ones pass, and each rule that is broken is named.

It reads bytes and knows nothing of how they were made, so the breaking is done on bytes too.
"""

import pytest

from newsletter.mail.deliverability.lint import find_violations
from newsletter.mail.dkim import dkim_signer
from newsletter.running.doctor.mail import _sample_messages
from tests.support.apps import running
from tests.support.clock import NOW
from tests.support.dkim_keys import rsa_pem


@pytest.fixture(scope="module")
def written(sqlite_template, tmp_path_factory):
    """A newsletter and a confirmation mail as an application that signs writes them."""
    folder = tmp_path_factory.mktemp("conformity")
    settings = {
        "dkim_selector": "s1",
        "dkim_key": rsa_pem(),
        "base_url": "https://uutiset.kirjakauppa.example",
    }
    url = f"sqlite:///{sqlite_template}"
    with running(folder, database_url=url, **settings) as app, app.app_context():
        made = list(_sample_messages("fi", NOW))
        yield app.config["NEWSLETTER"], made[0][1], made[1][1], made[2][1]


def broken(written, old, new, *, count=1, is_bulk=True):
    """Return the rules that a newsletter breaks after a change."""
    chosen, newsletter, _measured, _confirm = written
    changed = newsletter.replace(old, new, count)
    assert changed != newsletter
    return {breach.rule for breach in find_violations(changed, chosen, is_bulk=is_bulk)}


def test_what_we_write_keeps_every_rule(written):
    chosen, newsletter, measured, confirm = written

    assert find_violations(newsletter, chosen, is_bulk=True) == []
    assert find_violations(measured, chosen, is_bulk=True, is_measured=True) == []
    assert find_violations(confirm, chosen, is_bulk=False) == []


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        ("MF-1", b"\r\nTo: ", b"\nTo: "),
        ("MF-1", b"\r\nTo: ", b"\r\nnothing\r\nTo: "),
        ("MF-1", b"--\r\n", b"--\r\n\0"),
        ("MF-1", b"--\r\n", b"--\r\n" + b"x" * 999 + b"\r\n"),
        ("MF-1", b"\r\nSubject: ", b"\r\nSubject: another\r\nSubject: "),
        ("MF-1", b"\r\nDate: ", b"\r\nDate: yesterday or so "),
        ("MF-1", b"From: Kirjakauppa Oy <", b"From: a@example.com, Kirjakauppa Oy <"),
        ("MF-1", b"\r\nMessage-ID: <", b"\r\nMessage-ID: <two words "),
        ("MF-2", b"\r\nSubject: ", "\r\nSubject: ä".encode()),
        ("MF-2", b"\r\nSubject: ", b"\r\nSubject: =?utf-8?q?=C3?= "),
        ("MF-2", b"MIME-Version: 1.0", b"MIME-Version: 2.0"),
        ("MF-2", b"multipart/alternative", b"multipart/mixed"),
        ("MF-2", b"text/plain; charset=utf-8", b"text/plain; charset=iso-8859-1"),
        ("MF-2", b"https://www.kirjakauppa.example/uutiset", b"https://toinen.example/"),
        ("MF-3", b"\r\nTo: ", b"\r\nBcc: kaikki@example.com\r\nTo: "),
        ("MF-4", b"\r\nList-Post: NO", b""),
        ("MF-4", b"\r\nList-Post: NO", b"\r\nList-Post: <mailto:a@kirjakauppa.example>"),
        ("MF-4", b" <newsletter.", b" <a newsletter."),
        ("MF-4", b":campaign:kirjakauppa", b":campaign:kk"),
        ("MF-4", b":campaign:kirjakauppa", b":campaign:lukija@example.com"),
        ("MF-5", b"\r\nList-Help: <https://", b"\r\nList-Help: <https://reader@example.invalid/"),
        ("MF-6", b"c=relaxed/relaxed", b"c=simple/simple"),
        ("MF-6", b"c=relaxed/relaxed;", b"c=relaxed/relaxed; l=7;"),
        ("MF-6", b"subject:subject", b"subject"),
        ("MF-7", b"1234567-8", b"1234567-9"),
        ("MF-8", b"<html lang=3D", b"<html long=3D"),
        ("MF-8", b'alt=3D"A cup', b'old=3D"A cup'),
        ("MU-4", b"\r\nList-Unsubscribe: <https:", b"\r\nList-Unsubscribe: <http:"),
        ("MU-4", b"=One-Click", b"=Two-Clicks"),
    ],
)
def test_a_broken_rule_is_named(written, rule, old, new):
    assert rule in broken(written, old, new)


def test_mf6_a_message_without_a_signature_is_wrong_where_there_is_a_key(written):
    chosen, newsletter, _measured, _confirm = written
    unsigned = newsletter[newsletter.index(b"\r\nFrom: ") + 2 :]

    assert [breach.rule for breach in find_violations(unsigned, chosen, is_bulk=True)] == ["MF-6"]
    assert find_violations(dkim_signer(chosen).sign(unsigned, now=NOW), chosen, is_bulk=True) == []


def test_what_is_asked_of_newsletters_is_not_asked_of_single_mails(written):
    assert broken(written, b"\r\nList-Post: NO", b"", is_bulk=False) == set()
