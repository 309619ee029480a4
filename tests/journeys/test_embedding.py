"""The form on another site, from the staff page that makes its code to the confirmation mail."""

import http.server
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from tests.support.server import LiveServer, free_port

CODES = ("form", "frame", "script")
#: Our own form does not believe anyone who is faster.
A_PERSONS_PACE_MS = 3_500


class Site:
    """A site of somebody else, with one page for each kind of code."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        # Another name as well as another port: to a browser this is another site altogether.
        port = free_port()
        self.url = f"http://localhost:{port}"
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        pages = self.pages

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                code = pages.get(self.path.removeprefix("/"))
                self.send_response(404 if code is None else 200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                page = f"<!doctype html><html lang=fi><title>Kauppa</title><body>{code or ''}"
                self.wfile.write(page.encode())

            def log_message(self, *_args: object) -> None:
                pass

        return Handler


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def server(start_server: Callable[..., LiveServer], site: Site) -> LiveServer:
    return start_server(embed_origins=site.url)


def test_the_code_of_the_staff_page_subscribes_people_on_another_site(
    server: LiveServer, site: Site, page: Page, browser: Browser, check_accessible: Callable[[Page], None]
) -> None:
    sign_in(server, page)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{server.url}/staff/embed?lang=fi&form_language=fi&lists=suomeksi&lists=in-english")
    check_accessible(page)
    for kind in CODES:
        site.pages[kind] = page.locator(f"#{kind}-code").input_value()
        page.locator(f"[data-copy={kind}-code] button").click()
        expect(page.locator(f"[data-copy={kind}-code] [role=status]")).to_have_text("Kopioitu.")
        assert page.evaluate("navigator.clipboard.readText()") == site.pages[kind]
    expect(page.frame_locator("iframe[src*='preview/script']").locator("form")).to_be_visible()

    for scripts in (True, False):
        visitor = browser.new_context(locale="fi", java_script_enabled=scripts).new_page()
        for kind in CODES:
            address = f"{kind}-{'with' if scripts else 'without'}-scripts@example.com"
            visitor.goto(f"{site.url}/{kind}")
            subscribe(visitor, kind, address, scripts=scripts)
            stays = kind == "frame" or (kind == "script" and scripts)
            assert visitor.url.startswith(site.url) == stays, kind
            assert confirmation_mails(server, address) == ["Vahvista uutiskirjeen tilaus"], address
        visitor.context.close()


def test_what_is_missing_is_said_in_the_form_of_the_script(
    server: LiveServer, site: Site, page: Page, check_accessible: Callable[[Page], None]
) -> None:
    site.pages["script"] = (
        f'<main><h1>Kauppa</h1><script src="{server.url}/static/embed.js"'
        ' data-lists="suomeksi" data-lang="fi"></script></main>'
    )
    page.goto(f"{site.url}/script")
    page.get_by_label("Sähköpostiosoite").fill("meri")
    page.get_by_role("button", name="Tilaa").click()

    expect(page.get_by_role("alert")).to_have_text(
        "Anna sähköpostiosoite muodossa nimi@esimerkki.fi. Rastita kohta Haluan tilata uutiskirjeen."
    )
    expect(page.get_by_label("Sähköpostiosoite")).to_be_focused()
    expect(page.get_by_label("Sähköpostiosoite")).to_have_attribute("aria-invalid", "true")
    check_accessible(page)


def test_a_site_that_is_not_named_gets_a_link_instead_of_the_form(
    start_server: Callable[..., LiveServer], site: Site, page: Page
) -> None:
    server = start_server()
    link = f'<a href="{server.url}/subscribe?lists=suomeksi&amp;lang=fi">Tilaa uutiskirje</a>'
    site.pages["script"] = f'<script src="{server.url}/static/embed.js"></script><noscript>{link}</noscript>'

    page.goto(f"{site.url}/script")
    page.get_by_role("link", name="Tilaa uutiskirje").click()

    expect(page).to_have_url(f"{server.url}/subscribe?lists=suomeksi&lang=fi")


def sign_in(server: LiveServer, page: Page) -> None:
    said = server.newsletter("staff", "create", "anna@kirjakauppa.example", "--role", "editor")
    page.goto(said.split()[-1])
    page.locator("[name=password]").fill("neljä sanaa riviin")
    page.locator("main button[type=submit]").click()
    expect(page).to_have_url(f"{server.url}/staff/campaigns")


def subscribe(visitor: Page, kind: str, address: str, *, scripts: bool) -> None:
    """Fill in what stands on the page, send it, and see that it is said to have been sent."""
    if kind == "script" and not scripts:
        visitor.get_by_role("link", name="Tilaa uutiskirje").click()
    within: Page | FrameLocator = visitor.frame_locator("iframe") if kind == "frame" else visitor
    within.get_by_label("Sähköpostiosoite").fill(address)
    within.get_by_label("Suomenkielinen uutiskirje").check()
    within.get_by_label("Haluan tilata uutiskirjeen").check()
    if kind == "frame" or not scripts:
        visitor.wait_for_timeout(A_PERSONS_PACE_MS)
    within.get_by_role("button", name="Tilaa").click()
    expect(within.get_by_role("status").last).to_contain_text("lähetimme siihen vahvistusviestin")


def confirmation_mails(server: LiveServer, address: str) -> list[str]:
    deadline = time.monotonic() + 20
    while not (mails := server.mailbox.to(address)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [str(mail["Subject"]) for mail in mails]
