"""A scanner that runs scripts opens every link of every mail and waits: nothing changes (CO-2)."""

import sqlite3
import time
from contextlib import closing
from email.message import EmailMessage
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from playwright.sync_api import Browser

from tests.support.every_mail import SUBSCRIBED, make_every_mail, pages_behind
from tests.support.server import LiveServer

#: What a person's state is kept in; measuring, the funnel and the queue go on meanwhile.
STATE = ("subscribers", "subscriptions", "signups", "signup_lists", "consents", "fresh_links", "suppressions")
LIST = "suomeksi"
#: Longer than scanners stay on a page.
IDLE_SECONDS = 15
PATIENCE = 30.0


def test_a_scanner_in_a_browser_confirms_nobody_and_unsubscribes_nobody(
    start_server, browser: Browser, tmp_path
):
    server: LiveServer = start_server()
    mails = [*make_every_mail(LIST, poster(server), reader(server)), newsletter_to(server, tmp_path)]
    paths = pages_behind(mails, server.url)
    before = state(server)

    context = browser.new_context(locale="fi-FI")
    tabs = [context.new_page() for _path in paths]
    for tab, path in zip(tabs, paths, strict=True):
        tab.goto(server.url + path, wait_until="commit")
    tabs[-1].wait_for_timeout(IDLE_SECONDS * 1000)
    shown = [tab.locator("h1, img, table").count() for tab in tabs if "/c/" not in tab.url]
    context.close()

    assert len(paths) > len(STATE)
    assert 0 not in shown
    assert state(server) == before


def poster(server: LiveServer):
    def post(path: str, form: dict[str, str]) -> None:
        urlopen(Request(server.url + path, urlencode(form).encode())).close()  # noqa: S310 - our own server

    return post


def reader(server: LiveServer):
    def mail_to(address: str, number: int) -> EmailMessage:
        deadline = time.monotonic() + PATIENCE
        while len(found := server.mailbox.to(address)) < number:
            assert time.monotonic() < deadline, f"mail {number} to {address} did not come"
            time.sleep(0.1)
        return found[number - 1]

    return mail_to


def newsletter_to(server: LiveServer, folder) -> EmailMessage:
    text = folder / "kirje.md"
    text.write_text(f"Hei!\n\n[Lue lisää]({server.url}/privacy)\n", encoding="utf-8")
    server.newsletter("campaigns", "create", "--list", LIST, "--subject", "Uutiset", "--body", str(text))
    server.newsletter("campaigns", "send", "1")
    return reader(server)(SUBSCRIBED, 8)


def state(server: LiveServer) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(server.instance / "newsletter.db")) as database:
        # Sealing marks facts on its own account, so only what they say is compared.
        kept = {"consents": "id, kind, purpose, list_id, at, method, subscriber_id"}
        return {
            table: sorted(database.execute(f"select {kept.get(table, '*')} from {table}"), key=repr)  # noqa: S608
            for table in STATE
        }
