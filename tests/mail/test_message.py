import email
import email.policy
import re
from datetime import UTC, datetime

import pytest

from newsletter.mail.message import POLICY, compose, make_message_id, sender_address, start_message
from tests.support.mailbox import html_of, text_of

LINK = "https://news.example/unsubscribe/" + "x" * 200 + "?lang=fi"


@pytest.fixture
def in_app(sqlite_app):
    """Templates and settings, without a database."""
    with sqlite_app.app_context():
        yield


@pytest.fixture
def start(in_app, now):
    def begin(subject="Hei", to="tilaaja@example.com"):
        return start_message(subject=subject, to=to, message_id="<1@news.example>", now=now)

    return begin


@pytest.fixture
def write(in_app, now):
    """Write the confirmation mail."""
    context = {
        "lists": ["Uutiset & tarjoukset"],
        "confirm_url": f"https://news.example/confirm/{'y' * 200}?lang=fi",
        "cancel_url": "https://news.example/cancel/z?lang=fi",
        "preferences_url": "https://news.example/preferences/z?lang=fi",
        "requested_at": now,
        "expires_at": datetime(2026, 3, 10, 9, 30, tzinfo=UTC),
    }

    def render(tongue="fi"):
        to = "tilaaja@example.com"
        return compose("confirm", context, to=to, tongue=tongue, message_id="<1@news.example>", now=now)

    return render


def header_lines(message, name):
    """Return the lines of one header as they go over the wire."""
    head = message.as_bytes().partition(b"\r\n\r\n")[0].decode("ascii")
    (found,) = (text for text in re.split(r"\r\n(?! )", head) if text.startswith(f"{name}: "))
    return found.split("\r\n")


def test_a_mail_of_a_sender_without_a_name_ends_with_its_words(make_app, write):
    with make_app(sender_name="", sender_postal="", sender_business_id="", privacy_contact="").app_context():
        mail = write()

    lines = text_of(mail).splitlines()
    assert lines[-1].startswith("https://news.example/preferences/")
    assert "--" not in lines
    assert re.search(r"<p[^>]*>\s*</p>", html_of(mail)) is None


def test_a_mail_asks_for_no_answers_of_machines(write):
    mail = write()

    assert (mail["Auto-Submitted"], mail["X-Auto-Response-Suppress"]) == ("auto-generated", "OOF, AutoReply")
    assert mail["Reply-To"] is None


def test_a_long_list_unsubscribe_is_neither_folded_nor_encoded(start):
    message = start()
    message["List-Unsubscribe"] = f"<{LINK}>"

    assert header_lines(message, "List-Unsubscribe") == [f"List-Unsubscribe: <{LINK}>"]


def test_two_ways_to_unsubscribe_are_folded_between_them(start):
    message = start()
    message["List-Unsubscribe"] = f"<{LINK}>, <mailto:leave@news.example>"

    assert header_lines(message, "List-Unsubscribe") == [
        f"List-Unsubscribe: <{LINK}>,",
        " <mailto:leave@news.example>",
    ]


@pytest.mark.parametrize("name", ["List-Unsubscribe-Post", "List-Id", "LIST-HELP"])
def test_every_list_header_is_left_as_it_is(start, name):
    message = start()
    message[name] = "x" * 300

    assert header_lines(message, name) == [f"{name}: {'x' * 300}"]


@pytest.mark.parametrize("linebreak", ["\r\n", "\n", "\r"])
def test_a_subject_cannot_begin_a_header_of_its_own(start, linebreak):
    with pytest.raises(ValueError, match="linefeed or carriage return"):
        start(subject=f"Hei{linebreak}Bcc: everyone@example.com")


def test_a_recipient_cannot_begin_a_header_of_its_own(start):
    with pytest.raises(ValueError, match="linefeed or carriage return"):
        start(to="tilaaja@example.com\r\nBcc: everyone@example.com")


def test_no_later_header_can_begin_another_one(start):
    message = start()

    with pytest.raises(ValueError, match="linefeed or carriage return"):
        message["List-Unsubscribe"] = "<https://news.example/>\r\nBcc: everyone@example.com"


@pytest.mark.parametrize(
    "subject",
    [
        "Hyvää päivää",
        "Äänestys: mikä on vuoden pyöräilyteko? Kerro mielipiteesi meille ennen perjantaita, kiitos",
        "日本語の件名" * 12,
        "🚲" * 40,
    ],
)
def test_a_subject_beyond_ascii_comes_back_unchanged(start, subject):
    message = start(subject=subject)

    parsed = email.message_from_bytes(message.as_bytes(), policy=email.policy.default)

    assert parsed["Subject"] == subject
    assert message.as_bytes().isascii()


def test_encoded_words_of_a_subject_are_never_glued_together(start):
    message = start(subject="Näin pidät pyörän kunnossa talven yli – ohjeet vaihe vaiheelta ja videot päälle")

    lines = header_lines(message, "Subject")

    assert len(lines) == 3
    assert not any("?==?" in line for line in lines)


def test_a_line_with_encoded_words_has_76_columns_at_most(start):
    message = start(subject="Näin pidät pyörän kunnossa talven yli – ohjeet vaihe vaiheelta ja videot päälle")

    assert max(map(len, header_lines(message, "Subject"))) <= 76  # RFC 2047, 2


def test_a_sender_beyond_ascii_is_encoded(make_app, now):
    app = make_app(sender_name="Pyöräily, Oy", sender_address="uutiset@news.example")

    with app.app_context():
        message = start_message(subject="Hei", to="a@example.com", message_id="<1@news.example>", now=now)
        parsed = email.message_from_bytes(message.as_bytes(), policy=email.policy.default)

    (sender,) = parsed["From"].addresses
    assert (sender.display_name, sender.addr_spec) == ("Pyöräily, Oy", "uutiset@news.example")


def test_each_message_has_the_headers_of_every_message(start):
    assert start().items() == [
        ("From", "Kirjakauppa Oy <uutiset@kirjakauppa.example>"),
        ("To", "tilaaja@example.com"),
        ("Subject", "Hei"),
        ("Date", "Tue, 03 Mar 2026 09:30:00 +0000"),
        ("Message-ID", "<1@news.example>"),
    ]


def test_a_message_id_is_made_of_chance_in_our_domain(sqlite_app):
    settings = sqlite_app.config["NEWSLETTER"]
    made = [make_message_id(settings) for _ in range(100)]

    assert len(set(made)) == 100
    assert all(one.endswith("@kirjakauppa.example>") and len(one) == 46 for one in made)


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        ("http://127.0.0.1:8000", "newsletter@localhost"),
        ("https://news.example/path", "newsletter@news.example"),
    ],
)
def test_without_a_sender_address_there_still_is_a_sender(make_app, base_url, address):
    app = make_app(sender_address="", base_url=base_url)

    assert sender_address(app.config["NEWSLETTER"]) == address


def test_a_mail_has_its_text_first_and_then_the_same_in_html(write):
    message = write()

    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]


def test_a_mail_asks_for_no_answer_by_machines(write):
    assert write()["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize(("tongue", "word"), [("fi", "Vahvista"), ("en", "Confirm"), ("sv", "Vahvista")])
def test_a_mail_speaks_the_language_it_is_told_or_else_our_first(write, tongue, word):
    message = write(tongue)

    assert message["Subject"].split()[0] == word
    assert word in text_of(message)


@pytest.mark.parametrize(("tongue", "language"), [("fi", "fi"), ("en", "en"), ("sv", "fi")])
def test_a_mail_says_which_language_it_speaks(write, tongue, language):
    assert write(tongue)["Content-Language"] == language


def test_no_line_goes_beyond_what_servers_take(write):
    message = write()
    message["List-Unsubscribe"] = f"<{LINK}>"

    lines = message.as_bytes(policy=POLICY).split(b"\r\n")

    assert max(map(len, lines)) <= 998
    assert not any(b"\n" in line or b"\r" in line for line in lines)


def test_a_long_link_survives_the_line_lengths(write):
    parsed = email.message_from_bytes(write().as_bytes(), policy=email.policy.default)
    wanted = f"https://news.example/confirm/{'y' * 200}?lang=fi"

    assert wanted in text_of(parsed)
    assert wanted in html_of(parsed)


def test_the_name_of_a_list_is_escaped_where_it_has_to_be(write):
    message = write()

    assert "- Uutiset & tarjoukset" in text_of(message)
    assert "Uutiset &amp; tarjoukset" in html_of(message)
