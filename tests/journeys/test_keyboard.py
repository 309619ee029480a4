"""The same signup without scripts and without a mouse."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect


@pytest.fixture
def plain_page(new_context) -> Page:
    """A page in a browser that runs no scripts."""
    page: Page = new_context(java_script_enabled=False).new_page()
    return page


@pytest.fixture
def tab_to(plain_page) -> Callable[[Locator], None]:
    """Press Tab until the focus is there."""

    def press(target: Locator) -> None:
        goal = target.element_handle()
        for _step in range(40):
            target.page.keyboard.press("Tab")
            if goal.evaluate("element => element.ownerDocument.activeElement === element"):
                return
        pytest.fail(f"Tab does not lead to {target}")

    return press


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("one server")
def test_a_keyboard_is_enough_to_subscribe_and_leave(shared_server, plain_page, tab_to, find_mail):
    """PP-2."""
    page = plain_page
    keys = page.keyboard

    # A slip first: the summary has the focus, and its link leads to the field.
    page.goto(f"{shared_server.url}/subscribe")
    tab_to(page.get_by_role("button", name="Tilaa"))
    keys.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    keys.press("Tab")
    expect(page.get_by_role("link", name="Anna sähköpostiosoite muodossa nimi@esimerkki.fi.")).to_be_focused()
    keys.press("Enter")
    keys.type("kalle@kotiposti.example", delay=100)  # the form trusts nobody who is much faster
    for label in ("Suomenkielinen uutiskirje", "Newsletter in English", "Haluan tilata", "Sallin avausten"):
        tab_to(page.get_by_label(re.compile(label)))
        keys.press("Space")
    keys.press("Enter")
    expect(page.locator("h1")).to_have_text("Tarkista sähköpostisi")

    # It is the browser that signed up, so opening the link is enough.
    find_mail(page, shared_server, "Vahvista uutiskirjeen tilaus")
    tab_to(page.get_by_role("link", name="Vahvista uutiskirjeen tilaus"))
    keys.press("Enter")
    tab_to(page.locator("pre a").filter(has_text="/confirm/"))
    with page.expect_popup() as popup:
        keys.press("Enter")
    confirmed = popup.value
    expect(confirmed.locator("h1")).to_have_text("Tilauksesi on vahvistettu.")

    # And out again.
    tab_to(confirmed.get_by_role("link", name="Poistu uutiskirjeeltä"))
    confirmed.keyboard.press("Enter")
    tab_to(confirmed.get_by_role("button", name="Poistu kaikilta listoilta"))
    confirmed.keyboard.press("Enter")
    expect(confirmed.locator("h1")).to_have_text("Olet poistunut uutiskirjeeltä.")
