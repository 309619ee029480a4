"""Marketing looks at the figures of the demo: every page on a desk and on a phone, in a browser."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.server import LiveServer


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A browser in English."""
    with browser.new_context(locale="en-GB", timezone_id="Europe/Helsinki") as context:
        yield context.new_page()


@pytest.fixture
def server(start_server: Callable[..., LiveServer]) -> LiveServer:
    made = start_server()
    made.newsletter("demo")
    return made


def sign_in(server: LiveServer, page: Page, role: str) -> None:
    said = server.newsletter("staff", "create", f"{role}@kirjakauppa.example", "--role", role)
    page.goto(said.split()[-1])
    page.locator("[name=password]").fill("neljä sanaa riviin")
    page.locator("main button[type=submit]").click()
    page.wait_for_url("**/staff/campaigns*")


@pytest.mark.timeout(240)
def test_marketing_goes_from_the_overview_to_a_newsletter_and_its_list(
    server: LiveServer, page: Page, look: Callable[[Page, str], None]
) -> None:
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    sign_in(server, page, "viewer")

    page.goto(f"{server.url}/staff/overview?lang=en")
    look(page, "Overview")
    page.get_by_role("link", name="Joulun aukioloajat ja lahjavinkit").first.click()
    look(page, "Joulun aukioloajat ja lahjavinkit")
    expect(page.locator("figure.chart").first).to_be_visible()
    page.locator("summary").last.click()
    letter = page.frame_locator("iframe").first
    expect(letter.get_by_text("verkkosivuiltamme")).to_be_visible()
    expect(letter.locator("span[title]").first).to_contain_text("%")
    page.get_by_label("Compare with").select_option(index=0)
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("section[aria-labelledby=compare-title] tbody tr")).to_have_count(5)
    with page.expect_download() as download:
        page.get_by_role("link", name="Save as CSV").click()
    assert download.value.suggested_filename == "campaign-4.csv"
    page.get_by_role("link", name="Overview").first.click()
    page.locator("section[aria-labelledby=lists-title] tbody a").first.click()
    expect(page.locator("table.heat tbody tr")).to_have_count(7)
    look(page, page.locator("h1").inner_text())

    assert problems == []
    assert page.goto(f"{server.url}/staff/readers").status == 403  # type: ignore[union-attr] # it answers


def somebody(server: LiveServer) -> str:
    with closing(sqlite3.connect(server.instance / "newsletter.db")) as database:
        return str(database.execute("select address from subscribers where id = 1").fetchone()[0])


@pytest.mark.timeout(240)
def test_the_privacy_level_looks_at_one_person_and_that_is_logged(
    server: LiveServer, page: Page, look: Callable[[Page, str], None]
) -> None:
    sign_in(server, page, "privacy")

    page.goto(f"{server.url}/staff/readers?lang=en")
    look(page, "Opens and clicks of a person")
    page.get_by_label("E-mail address").fill(somebody(server))
    page.get_by_role("button", name="Show opens and clicks").click()

    expect(page.locator("main")).to_contain_text("tilaaja0001")
