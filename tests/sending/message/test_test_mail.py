"""Test mails and the source of an edition: true to what readers get, for staff alone."""

import email
import email.policy
import re
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from selectolax.lexbor import LexborHTMLParser

from newsletter.campaigns.editing import add_edition
from newsletter.db import db
from newsletter.mail.backends import mailbox_folder
from newsletter.mail.models import OutboxMail
from newsletter.sending.message.test_mail import NotStaff, sample_message, send_test
from newsletter.staff.auth.access import make_uniquifier
from newsletter.staff.models import Role, Staff
from newsletter.tracking.models import Link
from tests.support.clock import NOW
from tests.support.dkim_keys import rsa_pem
from tests.support.mailbox import Mailbox

ANNA = "anna@kirjakauppa.example"


@pytest.fixture
def anna(app):
    db.session.add(
        Staff(email=ANNA, password="x", fs_uniquifier=make_uniquifier(), role=Role.EDITOR, created_at=NOW,
              active=True)
    )  # fmt: skip
    db.session.commit()


def parse(message):
    return email.message_from_bytes(message, policy=email.policy.default)


def test_a_test_mail_is_the_newsletter_with_a_word_before_its_subject(
    anna, make_campaign, send_due, outgoing
):
    campaign = make_campaign(subject="Maaliskuun uutiset", preview="Lyhyesti")

    assert send_test(campaign.id, ["fi"], [ANNA], now=NOW, actor="staff:1") == 1
    db.session.commit()
    send_due()

    mail = outgoing.last
    assert (mail["Subject"], mail["To"]) == ("Testi: Maaliskuun uutiset", ANNA)
    for name in ("List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-ID", "Message-ID"):
        assert mail[name]
    html = mail.get_body(("html",)).get_content()
    assert "https://www.kirjakauppa.example/uutiset" in html
    for tracked in ("/o/", "/c/"):
        assert tracked not in html


def test_a_test_mail_says_when_it_was_handed_over_and_is_signed_then(anna, make_campaign, make_app, send_due):
    signing = make_app(dkim_selector="news", dkim_key=rsa_pem())
    send_test(make_campaign().id, ["fi"], [ANNA], now=NOW - timedelta(days=3), actor="staff:1")
    db.session.commit()
    send_due(signing)

    mail = Mailbox(mailbox_folder(signing.config["NEWSLETTER"])).last
    assert abs(mail["Date"].datetime - datetime.now(UTC)) < timedelta(minutes=5)
    (signature,) = mail.get_all("DKIM-Signature")
    signed_at = datetime.fromtimestamp(int(re.search(r"t=(\d+)", signature)[1]), UTC)
    assert abs(signed_at - mail["Date"].datetime) < timedelta(seconds=2)


def test_the_links_of_a_test_mail_work_and_are_nobodys(anna, make_campaign, client):
    raw = sample_message(campaign := make_campaign(), campaign.editions[0], to=ANNA, now=NOW)

    address = parse(raw)["List-Unsubscribe"].strip("<>")

    assert client.get(address.removeprefix("http://127.0.0.1:8000")).status_code == 200


def test_a_test_mail_of_each_edition_goes_to_each(anna, make_campaign):
    campaign = make_campaign()
    add_edition(campaign.id, "en", now=NOW, actor="staff:1").body = "Hello!"
    db.session.flush()

    assert send_test(campaign.id, ["fi", "en"], [ANNA], now=NOW, actor="staff:1") == 2
    assert sorted(db.session.scalars(sa.select(OutboxMail.language))) == ["en", "fi"]


@pytest.mark.parametrize("addresses", [[], ["meri@example.com"], [ANNA, "meri@example.com"]])
def test_a_test_mail_goes_to_staff_alone(anna, make_campaign, addresses):
    with pytest.raises(NotStaff):
        send_test(make_campaign().id, ["fi"], addresses, now=NOW, actor="staff:1")

    assert db.session.scalars(sa.select(OutboxMail)).all() == []


def test_trying_a_campaign_leaves_no_trace_in_it(anna, make_campaign):
    campaign = make_campaign()

    send_test(campaign.id, ["fi"], [ANNA], now=NOW, actor="staff:1")

    assert db.session.scalars(sa.select(Link)).all() == []
    assert campaign.editions[0].compiled is None


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("Uutiset", "Hei!"),
        ("Ääkkösiä ja 🎉 " * 12, "ä" * 5000),
        ("=?utf-8?q?Hei?=", ".\n\n..\n\n.piste"),
        ("Hinta: 5 €; nyt, heti", "x" * 3000 + " " + "sana " * 400),
    ],
)
def test_mf1_and_mf2_the_source_obeys_the_rules_of_mail(app, make_campaign, subject, body):
    campaign = make_campaign(subject=subject, body=body)

    raw = sample_message(campaign, campaign.editions[0], to=ANNA, now=NOW)

    assert raw.isascii()
    assert raw.replace(b"\r\n", b"").count(b"\r") == raw.replace(b"\r\n", b"").count(b"\n") == 0
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    parsed = parse(raw)
    for name in ("Date", "From", "To", "Subject", "Message-ID"):
        assert len(parsed.get_all(name)) == 1
    assert parsed["Subject"] == ("Hei" if subject.startswith("=?") else subject.strip()) or "=?" in subject
    assert [part.get_content_type() for part in parsed.iter_parts()] == ["text/plain", "text/html"]
    text = parsed.get_body(("plain",)).get_content().replace("\r\n", "\n")
    assert body[:500] in text


@pytest.mark.parametrize("engine", ["sqlite"])
def test_mf4_and_mf5_headers_and_links_hold_nothing_personal(app, make_list, make_campaign):
    campaign = make_campaign([make_list("suomeksi")])

    parsed = parse(sample_message(campaign, campaign.editions[0], to=ANNA, now=NOW))

    assert parsed["List-Id"].endswith(" <suomeksi.kirjakauppa.example>")
    assert parsed["List-Post"] == "NO"
    assert parsed["Feedback-ID"].split(":")[1:] == ["suomeksi", "campaign", "kirjakauppa"]
    text = str(parsed).replace(f"To: {ANNA}", "")
    assert ANNA not in text
    html = LexborHTMLParser(parsed.get_body(("html",)).get_content())
    assert all("@" not in (link.attributes["href"] or "") for link in html.css("a"))
