"""Whoever answers for data protection walks the office, from a public request to its answer."""

import json
import os
from pathlib import Path

import pytest
from playwright.sync_api import expect


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("one server")
def test_a_request_comes_in_and_is_answered(shared_server, page, look, open_mail):
    def shot(name):
        if folder := os.environ.get("SHOTS"):  # for whoever wants to look at them too
            for width in (1280, 360):
                page.set_viewport_size({"width": width, "height": 800})
                page.screenshot(path=Path(folder) / f"{name}-{width}.png", full_page=True)

    words = ("staff", "create", "ville@kirjakauppa.example", "--role", "privacy", "--json")
    page.goto(json.loads(shared_server.newsletter(*words))["link"])
    page.get_by_label("Salasana").fill("neljä sanaa riviin")
    page.get_by_role("button", name="Luo käyttäjätunnus").click()

    # A person asks on the public page, and their mailbox answers.
    page.goto(f"{shared_server.url}/privacy/request?lang=fi")
    look(page, "Tietojasi koskeva pyyntö")
    shot("form")
    page.get_by_role("button", name="Lähetä pyyntö").click()
    look(page, "Tietojasi koskeva pyyntö")
    page.get_by_label("Sähköpostiosoite").fill("meri@example.com")
    page.get_by_label("Omien tietojen tarkastus").check()
    page.get_by_role("button", name="Lähetä pyyntö").click()
    look(page, "Olemme vastaanottaneet pyyntösi")
    open_mail(page, shared_server, "Vahvista tietojasi koskeva pyyntö")
    with page.context.expect_page() as opened:
        page.frame_locator("iframe").get_by_role("link", name="Vahvista pyyntö").click()
    link = opened.value
    look(link, "Vahvista tietojasi koskeva pyyntö")
    link.get_by_role("button", name="Vahvista pyyntö").click()
    look(link, "Pyyntösi on vahvistettu")
    link.close()

    # The desk answers it with one press.
    page.goto(f"{shared_server.url}/staff/privacy?lang=fi")
    look(page, "Oikeuksia koskevat pyynnöt")
    shot("office")
    page.get_by_role("link", name="Omien tietojen tarkastus").click()
    expect(page.locator("h1")).to_contain_text("Omien tietojen tarkastus")
    look(page, page.locator("h1").inner_text())
    shot("request")
    page.get_by_role("button", name="Toteuta ja vastaa").click()
    expect(page.get_by_role("status")).to_have_text("Pyyntö on toteutettu.")
    page.get_by_role("link", name="Tulostettava kirje").click()
    look(page, page.locator("h1").inner_text())
    shot("letter")

    # And the rest of the office.
    for path, heading in {
        "requests/new": "Kirjaa pyyntö",
        "purge": "Tammikuun poistoajo",
        "schedule": "Säilytysajat",
        "notices": "Tietosuojaseloste",
        "audit": "Tapahtumaloki",
        "incidents": "Tietoturvaloukkaukset",
        "records": "Seloste käsittelytoimista",
    }.items():
        page.goto(f"{shared_server.url}/staff/privacy/{path}?lang=fi")
        look(page, heading)
        shot(path.replace("/", "-"))
