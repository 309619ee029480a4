"""The staff's way in and out."""

import json

import pytest
from playwright.sync_api import expect


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("one server")
def test_staff_come_in_by_invitation_leave_and_come_back(shared_server, page, look):
    words = ("staff", "create", "liisa@kirjakauppa.example", "--role", "viewer", "--json")
    invitation = json.loads(shared_server.newsletter(*words))["link"]

    # The invitation makes the account, once the password is long enough.
    page.goto(invitation)
    look(page, "Luo käyttäjätunnus")
    page.get_by_label("Salasana").fill("lyhyt")
    page.get_by_role("button", name="Luo käyttäjätunnus").click()
    look(page, "Luo käyttäjätunnus")
    page.get_by_label("Salasana").fill("neljä sanaa riviin")
    page.get_by_role("button", name="Luo käyttäjätunnus").click()
    look(page, "Kampanjat")

    leave_on_a_phone(page, look)
    page.goto(f"{shared_server.url}/staff/campaigns")
    look(page, "Kirjaudu sisään")

    # In again, at the second try.
    page.get_by_label("Sähköpostiosoite").fill("liisa@kirjakauppa.example")
    page.get_by_label("Salasana").fill("jotain aivan muuta")
    page.get_by_role("button", name="Kirjaudu sisään").click()
    look(page, "Kirjaudu sisään")
    page.get_by_label("Salasana").fill("neljä sanaa riviin")
    page.get_by_role("button", name="Kirjaudu sisään").click()
    look(page, "Kampanjat")

    go_about_by_keys(page, shared_server.url, look)
    turn_the_keys_off(page, look)

    # The invitation has done its work.
    page.goto(invitation)
    look(page, "Tämä ei onnistunut")


def leave_on_a_phone(page, look):
    """Log out by way of the menu; then the pages are closed."""
    page.set_viewport_size({"width": 360, "height": 800})
    leave = page.get_by_role("button", name="Kirjaudu ulos")
    expect(leave).to_be_hidden()
    page.get_by_role("link", name="Valikko").click()
    look(page, "Kampanjat")
    page.set_viewport_size({"width": 360, "height": 800})
    page.get_by_role("link", name="Sulje valikko").click()
    expect(leave).to_be_hidden()
    page.get_by_role("link", name="Valikko").click()
    leave.click()
    look(page, "Kirjaudu sisään")


def go_about_by_keys(page, url, look):
    """Single keys lead about, and say what they do."""
    page.keyboard.press("g")
    page.keyboard.press("l")
    look(page, "Listat")
    opener = page.get_by_role("button", name="Pikanäppäimet")
    opener.focus()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Pikanäppäimet")
    expect(dialog.get_by_role("heading")).to_be_focused()
    look(page, "Listat")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    page.goto(f"{url}/staff/embed")
    page.keyboard.press("/")
    expect(page.locator("main input:focus")).to_have_count(1)
    page.goto(f"{url}/staff/account/")
    page.get_by_label("Nykyinen salasana").press_sequentially("g?l")
    expect(dialog).to_be_hidden()
    look(page, "Oma käyttäjätunnus")


def turn_the_keys_off(page, look):
    """Whoever has no use for them is rid of them."""
    page.get_by_role("button", name="Poista pikanäppäimet käytöstä").click()
    look(page, "Oma käyttäjätunnus")
    page.keyboard.press("g")
    page.keyboard.press("l")
    page.keyboard.press("?")
    expect(page.locator("h1")).to_have_text("Oma käyttäjätunnus")
    expect(page.locator("dialog")).to_have_count(0)
