"""One person's copy: what it carries when opens and clicks may be measured, and when not."""

import email
import email.policy
from collections.abc import Callable
from datetime import datetime, timedelta
from email.message import EmailMessage
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import Campaign, Edition
from newsletter.db import db
from newsletter.sending.message.personalize import ListName, Personalizer, compile_edition
from newsletter.subscribers import links as person_links
from newsletter.tracking.links import HIT_TOKEN
from newsletter.tracking.models import Link
from tests.support.clock import NOW
from tests.support.mailbox import html_of, link, links_of, text_of, token

# What a copy looks like does not depend on the database.
pytestmark = pytest.mark.parametrize("engine", ["sqlite"])

TWO_LINKS = "[a](https://kirja.example/a) ja [b](https://kirja.example/b)"


class Press:
    """Prints copies of one campaign: to subscriber 7, on behalf of list 1."""

    def __init__(self, campaign: Campaign) -> None:
        (self.edition,) = campaign.editions
        compile_edition(self.edition)
        db.session.flush()

    def source(self, *, is_measured: bool, now: datetime = NOW) -> bytes:
        personalizer = Personalizer(self.edition, {1: ListName("uutiset", "Uutiset, viikoittain")})
        return personalizer.render(7, "matti@example.com", 1, is_measured=is_measured, now=now)

    def copy(self, *, is_measured: bool) -> EmailMessage:
        source = self.source(is_measured=is_measured)
        return email.message_from_bytes(source, policy=email.policy.default)


@pytest.fixture
def press(make_campaign) -> Callable[..., Press]:
    """Compile a campaign of a text."""

    def make(body: str = TWO_LINKS) -> Press:
        return Press(make_campaign(body=body))

    return make


def stored_links(edition: Edition) -> dict[int, str]:
    rows = db.session.execute(sa.select(Link.number, Link.url).where(Link.edition_id == edition.id))
    return {number: url for number, url in rows}


def followed(copy: EmailMessage, edition: Edition) -> list[str]:
    """Return where the tracked links of a copy lead, in order."""
    stored = stored_links(edition)
    return [stored[int(urlsplit(url).path.rpartition("/")[2])] for url in links_of(copy, "c")]


# --- measured or not -------------------------------------------------------------------------------


def test_a_measured_copy_has_a_picture_and_tracked_links(press):
    made = press()

    copy = made.copy(is_measured=True)

    hit = token(copy, "o")
    assert HIT_TOKEN.read(hit) == (made.edition.id, 7)
    assert links_of(copy, "c") == [f"http://127.0.0.1:8000/c/{hit}/1", f"http://127.0.0.1:8000/c/{hit}/2"]
    assert followed(copy, made.edition) == ["https://kirja.example/a", "https://kirja.example/b"]


def test_the_text_part_is_never_tracked(press):
    text = text_of(press().copy(is_measured=True))

    assert text.splitlines()[0] == "a <https://kirja.example/a> ja b <https://kirja.example/b>"
    assert [sign for sign in ("/o/", "/c/") if sign in text] == []


def test_a_plain_copy_has_no_trace_of_measuring(press):
    made = press()

    source = made.source(is_measured=False)
    html = html_of(made.copy(is_measured=False))

    assert [sign for sign in (b"/o/", b"/c/", b"<img", b"mark.invalid") if sign in source] == []
    assert [url for url in ("kirja.example/a", "kirja.example/b") if f'href="https://{url}"' in html] == [
        "kirja.example/a",
        "kirja.example/b",
    ]


def test_a_plain_copy_keeps_the_pictures_of_the_writer(press):
    html = html_of(press("![Kansi](https://kirja.example/k.png)").copy(is_measured=False))

    assert html.count("<img") == 1
    assert 'src="https://kirja.example/k.png"' in html


@pytest.mark.parametrize("is_measured", [True, False])
def test_the_ways_out_are_never_tracked(press, is_measured):
    copy = press().copy(is_measured=is_measured)

    assert person_links.UNSUBSCRIBE.read(token(copy, "unsubscribe"))[:2] == (7, 1)
    assert person_links.PREFERENCES.read(token(copy, "preferences")) == (7,)
    assert link(copy, "privacy") == "http://127.0.0.1:8000/privacy?lang=fi"


@pytest.mark.parametrize("kind", ["unsubscribe", "preferences", "privacy"])
def test_both_parts_name_each_way_out_once(press, kind):
    copy = press().copy(is_measured=True)

    address = link(copy, kind)
    assert (text_of(copy).count(address), html_of(copy).count(address)) == (1, 1)


# --- links -----------------------------------------------------------------------------------------


def test_links_that_begin_with_one_another_are_not_mixed_up(press):
    addresses = [
        "https://kirja.example/a", "https://kirja.example/", "https://kirja.example/a/b", "https://kirja.example",
        "https://kirja.example/a?b=1&c=2", "https://kirja.example/a?b=1",
    ]  # fmt: skip
    made = press(" ".join(f"[{number}]({address})" for number, address in enumerate(addresses)))

    copy = made.copy(is_measured=True)

    assert followed(copy, made.edition) == addresses


def test_an_address_shown_in_the_words_stays_readable(press):
    html = html_of(
        press("Katso <https://kirja.example/a> tai `https://kirja.example/a`").copy(is_measured=True)
    )

    assert html.count(">https://kirja.example/a<") == 2


def test_a_link_that_occurs_twice_has_one_number(press):
    made = press("[a](https://kirja.example/a) [b](https://kirja.example/b) [c](https://kirja.example/a)")

    copy = made.copy(is_measured=True)

    assert stored_links(made.edition) == {1: "https://kirja.example/a", 2: "https://kirja.example/b"}
    assert html_of(copy).count(links_of(copy, "c")[0]) == 2


def test_a_text_without_links_has_none(press):
    made = press("Hei!")

    assert links_of(made.copy(is_measured=True), "c") == []
    assert stored_links(made.edition) == {}


# --- headers ---------------------------------------------------------------------------------------


def test_the_headers_of_a_copy(press):
    made = press()

    copy = made.copy(is_measured=True)

    domain = "kirjakauppa.example"
    assert {
        name: str(value) for name, value in copy.items() if name not in {"Message-ID", "Content-Type"}
    } == {
        "From": "Kirjakauppa Oy <uutiset@kirjakauppa.example>",
        "To": "matti@example.com",
        "Subject": "Maaliskuun uutiset",
        "Date": "Tue, 03 Mar 2026 09:30:00 +0000",
        "Content-Language": "fi",
        "X-Auto-Response-Suppress": "OOF, AutoReply",
        "List-Id": f'"Uutiset, viikoittain" <uutiset.{domain}>',
        "List-Unsubscribe": f"<{link(copy, 'unsubscribe')}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "List-Help": "<http://127.0.0.1:8000/privacy?lang=fi>",
        "List-Post": "NO",
        "Feedback-ID": f"{made.edition.campaign_id}:uutiset:campaign:kirjakauppa",
        "MIME-Version": "1.0",
    }


def test_a_copy_has_the_date_of_its_handing_over(press):
    made = press()

    late = made.source(is_measured=True, now=NOW + timedelta(hours=3))

    assert b"\r\nDate: Tue, 03 Mar 2026 12:30:00 +0000\r\n" in late
    personalizer = Personalizer(made.edition, {1: ListName("uutiset", "Uutiset, viikoittain")})
    dates = [
        personalizer.render_unsigned(
            7, "matti@example.com", 1, is_measured=False, now=NOW + timedelta(seconds=step)
        )
        for step in (0, 0.5, 1)
    ]
    assert [date.partition(b"Date: ")[2].partition(b"\r\n")[0][-14:-6] for date in dates] == [
        b"09:30:00",
        b"09:30:00",
        b"09:30:01",
    ]


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("Kesän uutiset", "=?utf-8?q?Kes=C3=A4n_uutiset?="),
        ('"Ny" \\ nu', r'"\"Ny\" \\ nu"'),
        ("=?utf-8?q?x?=", "=?utf-8?b?PT91dGYtOD9xP3g/PQ==?="),
        ("Uutiset\r\nBcc: kaikki@example.com", '"Uutiset Bcc: kaikki@example.com"'),
    ],
)
def test_the_list_is_called_by_its_name_on_one_line(press, name, phrase):
    personalizer = Personalizer(press().edition, {1: ListName("uutiset", name)})

    source = personalizer.render(7, "matti@example.com", 1, is_measured=False, now=NOW)

    (line,) = [line for line in source.split(b"\r\n") if line.startswith(b"List-Id:")]
    assert line.decode() == f"List-Id: {phrase} <uutiset.kirjakauppa.example>"
    parsed = email.message_from_bytes(source, policy=email.policy.default)
    assert parsed.get_all("Bcc") is None


def test_every_header_stands_once(press):
    names = press().copy(is_measured=True).keys()

    assert sorted(names) == sorted(set(names))


def test_the_one_click_header_is_one_address_on_one_line(press):
    source = press().source(is_measured=True)

    (line,) = [line for line in source.split(b"\r\n") if line.startswith(b"List-Unsubscribe:")]
    way_out = line.decode().removeprefix("List-Unsubscribe: <").removesuffix(">")
    assert urlsplit(way_out)[:2] == ("http", "127.0.0.1:8000")
    assert person_links.UNSUBSCRIBE.read(urlsplit(way_out).path.split("/")[2])[:2] == (7, 1)


def test_a_copy_printed_again_keeps_its_message_id(press):
    made = press()

    first, again = made.copy(is_measured=True), made.copy(is_measured=False)

    assert first["Message-ID"] == again["Message-ID"]


def test_a_message_id_is_nobody_elses(press):
    one, other = press().copy(is_measured=True), press().copy(is_measured=True)

    assert one["Message-ID"] != other["Message-ID"]


def test_the_address_of_a_reader_stands_in_one_header_only(press):
    source = press().source(is_measured=True)

    assert source.count(b"matti@example.com") == 1


def test_names_beyond_ascii_arrive(make_app, make_campaign):
    named = make_app(
        sender_name="Kirjakauppa Ääni & Öljy, Oy", sender_postal="Kätköläntie 1, 00100 Hämeenlinna"
    )
    with named.app_context():
        copy = Press(make_campaign(subject="Päivän 📚 pähkinä")).copy(is_measured=False)

    assert copy["From"].addresses[0].display_name == "Kirjakauppa Ääni & Öljy, Oy"
    assert copy["Subject"] == "Päivän 📚 pähkinä"
    assert "Kätköläntie 1, 00100 Hämeenlinna" in text_of(copy).splitlines()
