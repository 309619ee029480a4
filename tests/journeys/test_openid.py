"""In by a provider of OpenID Connect, over two sites, in a browser."""

import json

import pytest
from playwright.sync_api import expect

from tests.support.provider import CLIENT, MERI, SECRET, Provider


@pytest.fixture
def provider():
    """The provider, on another site than ours: a browser tells localhost from 127.0.0.1."""
    made = Provider("localhost")
    yield made
    made.close()


def test_staff_come_in_by_the_provider_and_land_where_they_wanted_to(provider, start_server, page, look):
    server = start_server(
        oidc_issuer=provider.issuer,
        oidc_client_id=CLIENT,
        oidc_client_secret=SECRET,
        oidc_name="Kirjakaupan tunnus",
    )
    words = ("staff", "create", MERI["email"], "--role", "viewer", "--json")
    page.goto(json.loads(server.newsletter(*words))["link"])
    page.get_by_label("Salasana").fill("neljä sanaa riviin")
    page.get_by_role("button", name="Luo käyttäjätunnus").click()
    page.get_by_role("button", name="Kirjaudu ulos").click()

    page.goto(f"{server.url}/staff/lists/")
    look(page, "Kirjaudu sisään")
    page.get_by_role("link", name="Kirjakaupan tunnus").click()
    page.get_by_role("link", name=MERI["email"]).click()

    look(page, "Listat")
    provider.person["sub"] = "somebody else"
    page.get_by_role("button", name="Kirjaudu ulos").click()
    page.get_by_role("link", name="Kirjakaupan tunnus").click()
    page.get_by_role("link", name=MERI["email"]).click()
    expect(page.locator("main")).to_contain_text("täällä ei ole käyttäjätunnusta, jonka se voisi avata")
