"""While the breaker is open: a browser does some work and signs up, one without scripts is told when."""

import hashlib
import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

VENDORED = Path(__file__).parents[2] / "newsletter" / "static" / "vendor" / "altcha"
NOTICE = "[role=alert] p:visible"


@pytest.fixture
def busy_server(start_server):
    """A server on which one signup too many has just been made."""
    return start_server("run", signup_breaker="1/10minute")


def sign_up(page: Page, address: str) -> None:
    page.fill("#email", address)
    page.check("#list-suomeksi")
    page.check("#consent")
    page.wait_for_timeout(2100)  # nobody fills in the form faster
    page.click("button.button")


@pytest.fixture
def page(page: Page, busy_server) -> Page:
    page.goto(f"{busy_server.url}/subscribe?lang=fi")
    sign_up(page, "yksi@example.com")
    expect(page.locator("h1")).to_have_text("Tarkista sähköpostisi")
    page.goto(f"{busy_server.url}/subscribe?lang=fi")
    sign_up(page, "kaksi@example.com")
    expect(page.locator(NOTICE)).to_be_visible()  # the refusal has been read before a journey goes on
    return page


def test_the_browser_works_and_the_form_goes_through(page, busy_server, check_accessible):
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{busy_server.url}/subscribe?lang=fi")

    expect(page.locator(NOTICE)).to_contain_text("selaimesi tekee ensin pienen laskutehtävän")
    page.wait_for_selector("altcha-widget [data-state=verified]", timeout=60_000)
    check_accessible(page)
    sign_up(page, "kaksi@example.com")

    expect(page.locator("h1")).to_have_text("Tarkista sähköpostisi")
    assert problems == []


def test_a_browser_without_scripts_is_told_when_to_come_back(page, busy_server, browser: Browser):
    with browser.new_context(java_script_enabled=False) as context:
        plain = context.new_page()
        plain.goto(f"{busy_server.url}/subscribe?lang=fi")

        expect(plain.locator(NOTICE)).to_have_text(
            "Lomaketta ei voi juuri nyt lähettää. Yritä uudelleen 10 minuutin kuluttua."
        )


def test_the_widget_is_what_was_published():
    manifest = json.loads((VENDORED / "manifest.json").read_text(encoding="utf-8"))

    found = {
        str(path.relative_to(VENDORED)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDORED.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }

    assert (manifest["name"], manifest["version"], manifest["licence"]) == ("altcha", "3.2.2", "MIT")
    assert found == {name: file["sha256"] for name, file in manifest["files"].items()}
