"""A browser in Finnish, a server that journeys may share, and a look at each page on the way."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.server import LiveServer

# A machine that runs all tests at once is slow at each of them.
expect.set_options(timeout=20_000)

#: A phone and a desk, where the journey then goes on.
WIDTHS = (360, 1280)


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    # Without a screen Chromium calls itself headless, and counts as a program.
    return browser_context_args | {
        "locale": "fi-FI",
        "timezone_id": "Europe/Helsinki",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"
        " Safari/537.36",
    }


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory) -> Iterator[LiveServer]:
    """``newsletter run`` for journeys that do not mind each other; mark them with one xdist group."""
    server = LiveServer(tmp_path_factory.mktemp("shared") / "instance")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def look(check_accessible) -> Callable[[Page, str], None]:
    """Look at a page under its heading, on a phone and on a desk: axe is content, nothing overflows."""

    def at(page: Page, heading: str) -> None:
        expect(page.locator("h1")).to_have_text(heading)
        page.wait_for_load_state()  # without its style sheet a page has another width
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            check_accessible(page)

    return at


@pytest.fixture
def find_mail() -> Callable[[Page, LiveServer, str], Locator]:
    """Look into the built-in mailbox until a mail with this subject has come; return its link."""

    def wait_for(page: Page, server: LiveServer, subject: str) -> Locator:
        mail = page.get_by_role("link", name=subject, exact=True)
        page.goto(f"{server.url}/mailbox?lang=fi")
        for _try in range(60):
            if mail.count():
                break
            page.wait_for_timeout(500)
            page.reload()
        return mail.first

    return wait_for


@pytest.fixture
def open_mail(find_mail) -> Callable[[Page, LiveServer, str], None]:
    """Open the newest mail with a subject, as soon as it has come."""
    return lambda page, server, subject: find_mail(page, server, subject).click()
