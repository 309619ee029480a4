"""A passkey from its making to its end, with a device that Chromium plays."""

import json
import re

import pytest
from playwright.sync_api import expect

from tests.support.server import LiveServer

PASSWORD = "neljä sanaa riviin"


@pytest.fixture
def server(tmp_path):
    """The real program at a name: browsers make no passkeys for a bare IP address."""
    server = LiveServer(tmp_path / "instance", passkeys="true")
    server.settings["base_url"] = f"http://localhost:{server.port}"
    server.start()
    yield server
    server.stop()


@pytest.fixture
def key_ring(page):
    """Make a device that says its owner put a finger on it; ``key_ring("setUserVerified", …)`` changes it."""
    browser = page.context.new_cdp_session(page)
    browser.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    name = browser.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]
    return lambda act, **words: browser.send(f"WebAuthn.{act}", {"authenticatorId": name, **words})


@pytest.mark.timeout(300)
def test_a_passkey_is_made_used_and_removed(server, page, key_ring, look, open_mail):
    url = server.settings["base_url"]
    words = ("staff", "create", "liisa@kirjakauppa.example", "--role", "sender", "--json")
    page.goto(json.loads(server.newsletter(*words))["link"])
    page.get_by_label("Salasana").fill(PASSWORD)
    page.get_by_role("button", name="Luo käyttäjätunnus").click()
    look_at_setting_up(page, look)

    add(page, look)
    page.goto(f"{url}/staff/account/")
    look(page, "Oma käyttäjätunnus")
    expect(page.get_by_role("row", name="työkannettava")).to_contain_text("–")

    # In with the passkey alone, by keys alone.
    log_out(page)
    look(page, "Kirjaudu sisään")
    page.get_by_role("button", name="Kirjaudu pääsyavaimella").focus()
    page.keyboard.press("Enter")
    look(page, "Yleiskuva")
    expect(page.locator(".reminder")).to_have_count(0)

    # With the password it is the second step.
    log_out(page)
    give_password(page)
    look(page, "Toinen vaihe")
    page.get_by_role("button", name="Käytä pääsyavainta").click()
    expect(page.locator("h1")).to_have_text("Yleiskuva")

    # Whoever keeps the finger away is told so, and stays outside.
    log_out(page)
    key_ring("setUserVerified", isUserVerified=False)
    page.get_by_role("button", name="Kirjaudu pääsyavaimella").click()
    expect(page.get_by_role("alert")).to_have_text(
        "Pääsyavainta ei saatu. Yritä uudelleen tai jatka toisella tavalla."
    )
    look(page, "Kirjaudu sisään")
    key_ring("setUserVerified", isUserVerified=True)
    page.get_by_role("button", name="Kirjaudu pääsyavaimella").click()
    expect(page.locator("h1")).to_have_text("Yleiskuva")

    # Renamed it is the same one; removed, it opens nothing.
    page.goto(f"{url}/staff/account/?lang=en")
    look(page, "My account")
    expect(page.get_by_role("row", name="työkannettava")).not_to_contain_text("–")
    page.locator("summary", has_text="Rename").click()
    look(page, "My account")
    page.get_by_label("Name of the passkey").fill("vanha kannettava")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The passkey has its new name.")
    page.get_by_role("button", name="Remove vanha kannettava").click()
    expect(page.get_by_role("status")).to_have_text(
        "The passkey has been removed, and other browsers have been logged out."
    )
    page.goto(f"{url}/staff/account/?lang=fi")
    log_out(page)
    page.get_by_role("button", name="Kirjaudu pääsyavaimella").click()
    expect(page.get_by_role("alert").first).to_contain_text("Pääsyavainta ei hyväksytty.")
    look(page, "Kirjaudu sisään")
    open_mail(page, server, "Käyttäjätunnuksesi tiedot ovat muuttuneet")
    expect(page.locator("body")).to_contain_text("poistettiin pääsyavain")


def look_at_setting_up(page, look):
    """The page that asks for a second step says that a passkey will do."""
    page.goto(re.sub(r"/staff/.*", "/staff/account/second-step", page.url))
    look(page, "Ota toinen vaihe käyttöön")
    page.get_by_role("link", name="Lisää pääsyavain").click()
    look(page, "Lisää pääsyavain")


def add(page, look):
    page.get_by_role("button", name="Lisää pääsyavain").click()
    look(page, "Lisää pääsyavain")
    expect(page.get_by_role("alert").first).to_contain_text("Anna pääsyavaimelle nimi.")
    page.get_by_label("Pääsyavaimen nimi").fill("työkannettava")
    page.keyboard.press("Enter")
    look(page, "Varakoodit")

    # The same device is not taken twice.
    page.goto(re.sub(r"/staff/.*", "/staff/account/passkeys", page.url))
    page.get_by_label("Pääsyavaimen nimi").fill("sama uudelleen")
    page.get_by_role("button", name="Lisää pääsyavain").click()
    expect(page.get_by_role("alert")).to_have_text(
        "Tässä laitteessa tai salasanojen hallinnassa on jo käyttäjätunnuksesi pääsyavain."
    )


def log_out(page):
    page.get_by_role("button", name="Kirjaudu ulos", exact=True).click()
    expect(page.locator("h1")).to_have_text("Kirjaudu sisään")


def give_password(page):
    page.get_by_label("Sähköpostiosoite").fill("liisa@kirjakauppa.example")
    page.get_by_label("Salasana").fill(PASSWORD)
    page.get_by_role("button", name="Kirjaudu sisään").click()
