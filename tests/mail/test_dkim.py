"""MF-6: what leaves is signed, and whoever changes what a reader sees breaks the signature.

dkimpy judges, which knows nothing of our code.
"""

import json
import re

import pytest

from newsletter.config import SettingsInvalid
from newsletter.db import db
from newsletter.mail import outbox
from newsletter.mail.dkim import SIGNED_HEADERS, dkim_signer, relaxed_body
from newsletter.running.doctor.report import run_checks
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.sending.worker import deliver
from tests.support.apps import load_settings, on_its_own
from tests.support.clock import NOW
from tests.support.dkim_keys import ed25519_pem, rsa_pem, verify

MESSAGE = b"""\
From: Kirjakauppa <uutiset@kirjakauppa.example>
To: lukija@example.com
Subject: =?utf-8?q?P=C3=A4iv=C3=A4?=
 =?utf-8?q?_hyv=C3=A4?=
Date: Tue, 03 Mar 2026 09:30:00 +0000
Message-ID: <1@kirjakauppa.example>
List-Unsubscribe: <https://uutiset.kirjakauppa.example/x>

Hei!
""".replace(b"\n", b"\r\n")


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    return load_settings(tmp_path_factory.mktemp("dkim"), dkim_selector="s1", dkim_key=rsa_pem())


@pytest.fixture(scope="module")
def signed(chosen):
    return dkim_signer(chosen).sign(MESSAGE, now=NOW)


@pytest.fixture
def signing_app(make_app, smtp_server):
    """The application of the test, which signs with two keys and sends through ``smtp_server``."""
    keys = f"{rsa_pem()},{ed25519_pem()}"
    return make_app(**smtp_server.settings, dkim_selector="s1,s2", dkim_key=keys)


def test_mf6_every_mail_arrives_with_signatures_that_hold(
    signing_app, smtp_server, make_subscriber, make_campaign, now
):
    reader = make_subscriber("lukija@example.com")
    campaign = make_campaign(
        [reader.subscriptions[0].mailing_list], body=".\n\nsana   sana\n\n..\n\n    a\tb "
    )
    start_campaign(campaign.id, now=now, actor="staff:1")
    context = {"lists": ["Uutiset"]} | dict.fromkeys(
        ("preferences_url", "unsubscribe_url"), "https://x.example/"
    )
    outbox.enqueue("already_subscribed", to=reader.address, language="fi", now=now, context=context)
    db.session.commit()

    on_its_own(signing_app, lambda: outbox.deliver_due() + deliver.deliver_due())

    judged = [verify(mail.content, signing_app.config["NEWSLETTER"]) for mail in smtp_server.messages]
    assert judged == [[True, True], [True, True]]


@pytest.mark.parametrize("name", SIGNED_HEADERS)
def test_mf6_one_more_header_of_those_that_matter_breaks_the_signature(signed, chosen, name):
    added = f"{name}: something else\r\n".encode()

    # On top, where a forwarder would put it, and at the end, which most readers would show.
    assert verify(signed, chosen) == [True]
    assert verify(added + signed, chosen) == [False]
    assert verify(signed.replace(b"\r\n\r\nHei", b"\r\n" + added + b"\r\nHei"), chosen) == [False]


def test_mf6_a_changed_body_breaks_the_signature(signed, chosen):
    assert verify(signed.replace(b"Hei!", b"Hei?"), chosen) == [False]
    assert verify(signed + b"Lue lis\r\n", chosen) == [False]


def test_mf6_what_servers_do_to_spaces_breaks_nothing(signed, chosen):
    moved = signed.replace(b"Subject: ", b"Subject:   ").replace(b"Hei!\r\n", b"Hei!  \r\n\r\n\r\n")

    assert verify(moved, chosen) == [True]


def test_mf6_the_signature_says_how_it_was_made(signed):
    head = re.sub(rb"\r\n[ \t]+", b" ", signed).split(b"\r\n")[0].decode()
    tags = dict(part.strip().split("=", 1) for part in head.removeprefix("DKIM-Signature:").split(";"))

    assert set(tags) == {"v", "a", "c", "d", "s", "t", "h", "bh", "b"}  # and no l=
    assert [tags[tag] for tag in "vacds"] == [
        "1",
        "rsa-sha256",
        "relaxed/relaxed",
        "kirjakauppa.example",
        "s1",
    ]
    named = tags["h"].replace(" ", "").split(":")
    present = {"from", "to", "subject", "date", "message-id", "list-unsubscribe"}
    assert {name: named.count(name) for name in named} == {
        name.lower(): 2 if name.lower() in present else 1 for name in SIGNED_HEADERS
    }
    assert max(map(len, signed.split(b"\r\n"))) <= 78


@pytest.mark.parametrize(
    ("body", "relaxed"),
    [
        (b"", b""),
        (b"\r\n\r\n", b""),
        (b" \r\n \r\n", b""),
        (b"a  b\tc \r\n d \r\n\r\n", b"a b c\r\n d\r\n"),
        (b"a\r\n\r\nb", b"a\r\n\r\nb"),
    ],
)
def test_the_body_is_brought_into_the_form_of_the_standard(body, relaxed):
    assert relaxed_body(body) == relaxed  # RFC 6376, 3.4.4 and 3.4.5


def test_without_a_key_signing_is_left_to_the_mail_server(tmp_path):
    assert dkim_signer(load_settings(tmp_path)) is None


def test_a_key_may_be_named_by_its_file_or_stand_in_one_line(tmp_path):
    (tmp_path / "key.pem").write_text(rsa_pem())

    by_file = load_settings(tmp_path, dkim_selector="s1", dkim_key=tmp_path / "key.pem")
    in_one_line = load_settings(tmp_path, dkim_selector="s1", dkim_key=rsa_pem().strip().replace("\n", "\\n"))

    assert [one.dkim_key[0].strip() for one in (by_file, in_one_line)] == [rsa_pem().strip()] * 2


@pytest.mark.parametrize(
    ("key", "selectors", "said"),
    [
        (lambda: rsa_pem(1024), "s1", "2048 bits"),
        (lambda: rsa_pem()[:200], "s1", "path or the content"),
        (lambda: "nowhere.pem", "s1", "cannot be read"),
        (rsa_pem, "", "DKIM_SELECTOR"),
        (rsa_pem, "s1,s2", "DKIM_SELECTOR"),
        (rsa_pem, "s 1", "letters"),
    ],
)
def test_a_key_that_cannot_sign_stops_the_start_and_is_not_shown(tmp_path, key, selectors, said):
    with pytest.raises(SettingsInvalid, match=said) as refusal:
        load_settings(tmp_path, dkim_key=key(), dkim_selector=selectors)

    assert rsa_pem()[100:140] not in str(refusal.value)


def test_the_doctor_masks_the_key(make_app):
    with make_app(dkim_selector="s1", dkim_key=rsa_pem()).app_context():
        data, text, _code = run_checks(NOW)

    shown = {row["name"]: row["value"] for row in data["settings"]}
    assert (shown["NEWSLETTER_DKIM_KEY"], shown["NEWSLETTER_DKIM_SELECTOR"]) == ("********", "s1")
    assert not any("PRIVATE KEY" in part or rsa_pem()[100:140] in part for part in (text, json.dumps(data)))
