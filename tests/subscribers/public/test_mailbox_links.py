"""Scanners fetch every link of every mail, again and again; nothing of it changes anything (CO-2)."""

from email.message import EmailMessage

import pytest

from newsletter.db import Base
from newsletter.mail.models import OutboxMail
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.subscribers.models import TrackingState
from tests.subscribers.conftest import LOCAL
from tests.subscribers.rows import every_row
from tests.support.every_mail import make_every_mail, pages_behind
from tests.support.mailbox import html_of

#: What measuring records of a fetched picture or link, and nothing else does.
MEASURED = {"events", "campaign_totals", "link_totals", "link_readers", "spool_offsets", "deliveries"}
LOOKS = {
    "GET": ("GET", {}),
    "HEAD": ("HEAD", {}),
    "prefetch": ("GET", {"Sec-Purpose": "prefetch"}),
    "prerender": ("GET", {"Sec-Purpose": "prefetch;prerender"}),
    "preview": ("GET", {"X-Moz": "prefetch", "Purpose": "preview"}),
    "scanner": (
        "GET",
        {"User-Agent": "Mozilla/5.0 HeadlessChrome/140.0", "Referer": "https://scan.example/"},
    ),
}
#: Every kind of single mail that people get.
KINDS = {
    "activated", "address_changed", "address_taken", "already_subscribed", "confirm", "fresh_link", "left",
    "new_address",
}  # fmt: skip
#: Every kind of page and picture that a mail leads to.
PAGES = {"archive", "c", "cancel", "confirm", "o", "preferences", "privacy", "unsubscribe"}


@pytest.fixture
def mails(
    real_app, client, finnish, make_campaign, make_subscriber, send_due, outgoing, now, change_settings
):
    """A mail of every kind that people get, its links not used yet."""
    change_settings(signup_limit_ip="100/minute")

    def mail_to(address: str, number: int) -> EmailMessage:
        send_due()
        return outgoing.to(address)[number - 1]

    make_subscriber("lukija@example.com", [finnish], tracking=TrackingState.GRANTED)
    made = make_every_mail("suomeksi", lambda path, form: client.post(path, data=form), mail_to)
    start_campaign(make_campaign([finnish]).id, now=now, actor="staff:1")
    send_due()
    return [*made, outgoing.to("lukija@example.com")[0]]


@pytest.mark.parametrize("engine", ["sqlite"])
def test_no_mail_is_wider_than_the_smallest_phone(mails, browser):
    page = browser.new_page(viewport={"width": 320, "height": 640})

    wider = {}
    for mail in mails:
        page.set_content(html_of(mail))
        wider[mail["Subject"]] = page.evaluate("document.documentElement.scrollWidth") - 320

    page.close()
    assert {subject: pixels for subject, pixels in wider.items() if pixels} == {}


def test_ten_looks_at_every_link_of_every_mail_change_nothing(mails, client, stored):
    paths = pages_behind(mails, LOCAL)
    before = lasting_rows()

    answers = {
        (path, look): {client.open(path, method=method, headers=headers).status_code for _look in range(10)}
        for path in paths
        for look, (method, headers) in LOOKS.items()
    }

    assert {mail.template for mail in stored(OutboxMail)} == KINDS
    assert {path.split("/")[1].partition("?")[0] for path in paths} == PAGES
    assert {asked: found for asked, found in answers.items() if not found <= {200, 204, 302}} == {}
    after = lasting_rows()
    assert [table for table in before | after if before.get(table) != after.get(table)] == []


def lasting_rows():
    assert set(Base.metadata.tables) >= MEASURED
    return {name: rows for name, rows in every_row().items() if name not in MEASURED}
