"""Every door out works: the unsubscribe button of mail programs, and complaints in providers' own forms."""

import pytest

from newsletter.bounces.models import ReportKind
from newsletter.bounces.parser import parse_message
from newsletter.bounces.quoted import without_quoted
from newsletter.bounces.receive import receive_message
from newsletter.db import db
from newsletter.mail.return_path import return_paths
from tests.bounces.conftest import status_of
from tests.support.clock import NOW


@pytest.fixture
def engine() -> str:
    return "sqlite"  # what a message says does not depend on it


def leaving(to: str, *headers: str) -> bytes:
    return "\n".join((f"To: {to}", "From: liisa@asiakas.example", *headers, "", "")).encode()


@pytest.mark.parametrize(
    ("headers", "state"),
    [
        (
            ("Subject: Unsubscribe", "Auto-Submitted: auto-replied", "X-Apple-Unsubscribe: true"),
            "unsubscribed",
        ),
        (("Auto-Submitted: auto-replied", "X-Apple-Unsubscribe: true"), "unsubscribed"),
        (("Subject: unsubscribe", "Precedence: auto_reply"), "unsubscribed"),
        (("Subject: Re: Peruuta tilaus", "X-Autoreply: yes"), "unsubscribed"),
        (("Subject: Automatic reply: unsubscribe", "Auto-Submitted: auto-replied"), "confirmed"),
    ],
)
def test_who_writes_to_their_own_address_to_leave_has_left(sent, headers, state):
    campaign, person = sent()
    to = return_paths().unsubscribe_address(return_paths().unsubscribe_token(campaign.id, person.id).decode())
    to = (
        to
        or f"uutiset+u{return_paths().unsubscribe_token(campaign.id, person.id).decode()}@kirjakauppa.example"
    )

    receive_message(leaving(to, *headers), source="maildir", now=NOW)
    db.session.commit()

    db.session.expire_all()
    assert [item.status.value for item in person.subscriptions] == [state]


def test_a_complaint_in_the_form_of_outlook_is_one(sent):
    campaign, person = sent()
    path = return_paths().of(campaign.id, person.id)
    content = (
        "From: staff@provider.example\nTo: fbl@kirjakauppa.example\n"
        "Subject: complaint about message from 192.0.2.44\nMIME-Version: 1.0\n"
        'Content-Type: multipart/mixed; boundary="b1"\n\n--b1\nContent-Type: message/rfc822\n\n'
        "X-HmXmrOriginalRecipient: liisa@asiakas.example\n"
        f"Return-Path: <{path}>\nSubject: Uutiset\n\nTeksti\n--b1--\n"
    )

    receive_message(content.encode(), source="imap", now=NOW)
    db.session.commit()

    assert status_of((campaign, person)) == "complained"


LETTER = (
    "Return-Path: <bounce+b00@kirjakauppa.example>\n"
    "DKIM-Signature: v=1; a=rsa-sha256; d=kirjakauppa.example;\n\tb=abc\nReceived: from a by b\n"
    "Message-ID: <1@kirjakauppa.example>\nFrom: uutiset@kirjakauppa.example\nSubject: No more spam, says DMARC\n"
)


@pytest.mark.parametrize(
    "before",
    [
        "",
        "--- Below this line is a copy of the message.\n\n",
        "------ This is a copy of the message, including all the headers. ------\n\n",
        "   ----- Original message follows -----\n\n",
        "----- Original message -----\n\n",
        "Content-Type: message/rfc822\n\n",
        "--00000000000012345abcdef\nContent-Type: message/rfc822\n\n",
        "Original message headers:\n\n",
    ],
)
def test_our_own_letter_is_no_evidence(before):
    said = f"Hi. I could not deliver your message.\n\n<liisa@asiakas.example>:\n550 5.1.1 User unknown\n\n{before}"
    content = f"From: MAILER-DAEMON@mx.example\nSubject: failure notice\n\n{said}{LETTER}\nTeksti\n"

    found = parse_message(content.encode())

    assert (found.kind, found.reason) == (ReportKind.HARD, "no_mailbox_text")


def test_a_summary_and_a_transcript_are_no_letter():
    said = (
        "Your message\n\nTo: a\nSubject: b\n\n>>> RCPT TO:<a@b.example>\n<<< 550 5.1.1 User unknown\n> quoted"
    )

    assert without_quoted(said) == said.rpartition("\n")[0]


@pytest.mark.parametrize(
    ("action", "status", "said", "kind"),
    [
        ("error", "5.1.1", "550 5.1.1 user unknown", ReportKind.HARD),
        ("expired", "4.4.7", "delivery time expired", ReportKind.SOFT),
        ("undeliverable", "5.1.1", "550 5.1.1 user unknown", ReportKind.HARD),
        ("something", "4.4.1", "", ReportKind.DELAYED),
        ("delivered", "2.0.0", "", ReportKind.NOTICE),
        ("relayed", "2.0.0", "", ReportKind.NOTICE),
        ("failed", "5.0.0", "Postfix 5.1.1 says no", ReportKind.SOFT),
    ],
)
def test_not_every_action_is_that_it_arrived(action, status, said, kind):
    content = (
        'From: MAILER-DAEMON@mx.example\nMIME-Version: 1.0\nContent-Type: multipart/report; boundary="b"\n\n'
        "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\n"
        f"Final-Recipient: rfc822; liisa@asiakas.example\nAction: {action}\nStatus: {status}\n"
        f"Diagnostic-Code: smtp; {said}\n\n--b--\n"
    )

    assert parse_message(content.encode()).kind is kind


@pytest.mark.parametrize(
    ("disposition", "kind"),
    [
        ("automatic-action/MDN-sent-automatically; deleted", ReportKind.SOFT),
        ("manual-action/MDN-sent-manually; displayed", ReportKind.NOTICE),
        ("manual-action/MDN-sent-manually; deleted", ReportKind.NOTICE),
    ],
)
def test_the_refusal_of_a_mailboxs_filter_is_no_read_receipt(disposition, kind):
    content = (
        'From: liisa@asiakas.example\nMIME-Version: 1.0\nContent-Type: multipart/report; boundary="b"\n\n'
        "--b\nContent-Type: text/plain\n\nThe message was refused by the recipient's filter.\n"
        "--b\nContent-Type: message/disposition-notification\n\n"
        f"Final-Recipient: rfc822; liisa@asiakas.example\nDisposition: {disposition}\n\n--b--\n"
    )

    assert parse_message(content.encode()).kind is kind


@pytest.mark.parametrize(
    "subject",
    [
        "Automaattinen vastaus: Uutiset",
        "Poissa: lomalla 31.7. saakka",
        "Olen lomalla",
        "Autosvar: Nyheter",
        "Frånvarande till 1 augusti",
        "Abwesenheitsnotiz",
        "Automatische Antwort: Urlaub",
        "Réponse automatique : absence",
        "Out of office: Re: News",
    ],
)
def test_july_in_finland_costs_nobody_anything(subject):
    content = f"From: liisa@asiakas.example\nSubject: {subject}\n\n550 5.1.1 is my favourite number\n"

    assert parse_message(content.encode()).kind is ReportKind.AUTO_REPLY
