"""A campaign from the first word to the archive: written, checked, tried, scheduled, sent, paused."""

import io
from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.support.server import LiveServer

TEXT = """# Syksyn uutiset

Hei! Katso [hinnat](#hinnat).

::: columns
Vasen
+++
Oikea
:::

## Hinnat

Huolto 59 €
"""
#: Puts a picture onto the text as a mouse would.
DROP = """([field, bytes]) => {
  const moved = new DataTransfer();
  moved.items.add(new File([new Uint8Array(bytes)], "piste.png", { type: "image/png" }));
  for (const kind of ["dragover", "drop"])
    field.dispatchEvent(new DragEvent(kind, { dataTransfer: moved, bubbles: true, cancelable: true }));
}"""


@pytest.fixture
def server(start_server: Callable[..., LiveServer]) -> LiveServer:
    """The program with the demo's 2,000 people, sending slowly enough to be stopped."""
    made = start_server(
        mail_rate=20, mail_connections=1, sender_name="Kirjakauppa Oy", sender_address="uutiset@kirja.example",
        sender_postal="Katu 1, 00100 Helsinki", sender_business_id="1234567-8",
        privacy_contact="tietosuoja@kirja.example",
    )  # fmt: skip
    made.newsletter("demo")
    return made


def sign_in(server: LiveServer, page: Page, name: str = "anna", role: str = "sender") -> None:
    said = server.newsletter("staff", "create", f"{name}@kirja.example", "--role", role)
    page.goto(said.split()[-1])
    page.locator("[name=password]").fill("neljä sanaa riviin")
    page.locator("main button[type=submit]").click()
    expect(page).to_have_url(f"{server.url}/staff/campaigns")


def red_dot() -> list[int]:
    target = io.BytesIO()
    Image.new("RGB", (400, 300), "red").save(target, "PNG")
    return list(target.getvalue())


@pytest.fixture
def problems(page: Page) -> list[str]:
    """What goes wrong in the browser; answers that refuse a form are errors to it, and meant."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda said: found.append(said.text) if said.type == "error" else None)
    return found


def unmeant(problems: list[str]) -> list[str]:
    return [text for text in problems if not any(code in text for code in ("409", "422", "404"))]


def begin(server: LiveServer, page: Page) -> None:
    page.goto(f"{server.url}/staff/campaigns/new?lang=fi")
    page.get_by_label("Aihe").fill("Syksyn uutiset")
    page.get_by_label("Suomenkielinen uutiskirje").check()
    page.get_by_role("button", name="Aloita kirjoittaminen").click()


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("one server")
def test_a_campaign_saves_itself_while_it_is_written_and_the_preview_follows(
    shared_server: LiveServer, page: Page, look: Callable[[Page, str], None], problems: list[str]
) -> None:
    sign_in(shared_server, page, "eeva", "editor")
    page.get_by_role("link", name="Uusi kirje").click()
    look(page, "Uusi kirje")
    begin(shared_server, page)

    body, said = page.get_by_label("Teksti", exact=True), page.locator("#said")
    preview = page.frame_locator("#preview iframe")
    body.fill(TEXT)
    expect(said).to_contain_text("Tallennettu: ")
    expect(preview.get_by_role("heading", name="Hinnat")).to_be_visible()
    body.press("Control+End")
    page.get_by_role("toolbar").get_by_role("button", name="Painike").click()
    assert body.input_value().endswith("::: button\n[painikkeen teksti](https://)\n:::")
    page.keyboard.type("Varaa aika")
    expect(preview.get_by_text("Varaa aika", exact=True)).to_be_visible()

    page.get_by_label("Vaihtoehtoinen teksti").fill("Punainen neliö")
    body.evaluate("(field, bytes) => (" + DROP + ")([field, bytes])", red_dot())
    expect(preview.get_by_role("img", name="Punainen neliö")).to_be_visible()
    assert "![Punainen neliö](" in body.input_value()
    expect(said).to_contain_text("Tallennettu: ")
    look(page, "Syksyn uutiset")

    page.set_viewport_size({"width": 1280, "height": 800})
    views = {"Puhelin": "Hinnat", "Tekstiosa": "Varaa aika", "Lähdekoodi": "List-Unsubscribe"}
    for name, words in views.items():
        page.get_by_role("navigation", name="Esikatselu").get_by_role("link", name=name).click()
        expect(preview.locator("body")).to_contain_text(words)
    assert unmeant(problems) == []


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("one server")
def test_two_at_the_same_text_see_both_and_choose(
    shared_server: LiveServer, page: Page, look: Callable[[Page, str], None], problems: list[str]
) -> None:
    sign_in(shared_server, page, "kalle", "editor")
    begin(shared_server, page)
    other = page.context.new_page()
    other.goto(page.url)

    other.locator("#subject").fill("Toisen aihe")
    expect(other.locator("#said")).to_contain_text("Tallennettu: ")
    page.locator("#subject").fill("Oma aihe")
    page.get_by_role("button", name="Näytä molemmat").click()

    expect(page.locator("#their-subject")).to_have_value("Toisen aihe")
    expect(page.locator("#subject")).to_have_value("Oma aihe")
    look(page, "Toisen aihe")
    page.get_by_role("button", name="Tallenna", exact=True).click()
    expect(page.locator("h1")).to_have_text("Oma aihe")
    assert unmeant(problems) == []


@pytest.mark.timeout(300)
def test_a_campaign_is_checked_tried_scheduled_sent_and_paused(
    server: LiveServer,
    page: Page,
    look: Callable[[Page, str], None],
    open_mail: Callable[[Page, LiveServer, str], None],
    problems: list[str],
) -> None:
    sign_in(server, page)
    begin(server, page)
    check(page, look)
    address = page.url
    page.get_by_role("button", name="Lähetä testiviesti").click()
    expect(page.get_by_role("status")).to_contain_text("Testiviestejä matkalla: 1")
    open_mail(page, server, "Testi: Syksyn uutiset")
    expect(page.frame_locator("iframe").get_by_role("link", name="Varaa aika")).to_be_visible()
    page.goto(address)
    number = page.locator(".lead").inner_text().rpartition(" ")[2]
    schedule(page, look, number)
    follow(page, look, number)

    # Whoever got it can read it in a browser, and so can everybody.
    page.goto(f"{server.url}/archive?lang=fi")
    look(page, "Kaikki uutiskirjeet")
    page.get_by_role("link", name="Syksyn uutiset", exact=True).first.click()
    link = page.get_by_role("link", name="Varaa aika")
    expect(link).to_have_attribute("href", "https://www.kirja.example/aika")
    assert unmeant(problems) == []


def check(page: Page, look: Callable[[Page, str], None]) -> None:
    """A button that leads nowhere keeps it from being sent, until it leads somewhere."""
    body = page.get_by_label("Teksti", exact=True)
    body.fill(TEXT + "\n::: button\n[Varaa aika](https://)\n:::\n")
    page.get_by_role("button", name="Tallenna", exact=True).click()
    page.get_by_role("link", name="Tarkista ja lähetä").first.click()
    expect(page.locator(".findings")).to_contain_text("Linkki ei johda mihinkään: Varaa aika")
    expect(page.get_by_role("button", name="Lähetä kirje")).to_have_count(0)
    look(page, "Syksyn uutiset")
    page.get_by_role("link", name="Takaisin kirjoittamaan").click()
    body.fill(body.input_value().replace("(https://)", "(https://www.kirja.example/aika)"))
    page.get_by_role("button", name="Tallenna", exact=True).click()
    page.get_by_role("link", name="Tarkista ja lähetä").first.click()
    expect(page.locator("main")).to_contain_text("Kaikki on kunnossa.")


def schedule(page: Page, look: Callable[[Page, str], None], number: str) -> None:
    """Name a time, first with a wrong number; then think again."""
    tomorrow = datetime.now(ZoneInfo("Europe/Helsinki")) + timedelta(days=1)
    page.get_by_label("Ajastettuna").check()
    page.get_by_label("Päivä").fill(f"{tomorrow:%Y-%m-%d}")
    page.get_by_label("Aika", exact=True).fill("09:00")
    page.get_by_label("Vastaanottajien määrä").fill("1")
    page.get_by_role("button", name="Lähetä kirje").click()
    expect(page.get_by_role("alert")).to_contain_text("Kirjoita täsmälleen se määrä")
    look(page, "Syksyn uutiset")
    page.get_by_label("Vastaanottajien määrä").fill(number)
    page.get_by_role("button", name="Lähetä kirje").click()
    expect(page.locator("main")).to_contain_text("Kirje lähtee itsestään: ")
    look(page, "Syksyn uutiset")
    page.get_by_role("button", name="Palauta luonnokseksi").click()


def follow(page: Page, look: Callable[[Page, str], None], number: str) -> None:
    """Send; the bar moves by itself. Pause, go on, and end it."""
    page.get_by_label("Vastaanottajien määrä").fill(number)
    page.get_by_role("button", name="Lähetä kirje").click()
    expect(page.locator("main")).to_contain_text("Kirje on matkalla.")
    expect(page.locator("#progress-said")).not_to_have_text(page.locator("#progress-said").inner_text())
    page.get_by_role("button", name="Keskeytä").click()
    expect(page.locator(".badge")).to_have_text("Keskeytetty")
    look(page, "Syksyn uutiset")
    page.get_by_role("button", name="Jatka lähettämistä").click()
    expect(page.locator(".badge")).to_have_text("Lähetetään")
    page.get_by_text("Peru kirje").click()
    page.get_by_role("button", name="Peru lopullisesti").click()
    expect(page.locator(".badge")).to_have_text("Peruttu")


@pytest.mark.timeout(300)
def test_a_campaign_is_written_and_sent_without_scripts_and_in_english(
    server: LiveServer, browser: Browser, look: Callable[[Page, str], None]
) -> None:
    page = browser.new_context(locale="en-GB", java_script_enabled=False).new_page()
    sign_in(server, page)
    page.goto(f"{server.url}/staff/campaigns/new")
    page.get_by_label("Subject").fill("News of autumn")
    page.get_by_label("Newsletter in English").check()
    page.get_by_role("button", name="Start writing").click()
    expect(page.get_by_role("toolbar")).to_have_count(0)
    page.get_by_label("Text", exact=True).fill(
        "# Hello!\n\n::: button\n[Book](https://www.kirja.example/)\n:::"
    )
    page.get_by_role("button", name="Save and preview").click()
    expect(page.frame_locator("#preview iframe").get_by_role("link", name="Book")).to_be_visible()
    page.get_by_role("navigation", name="Preview").get_by_role("link", name="Text part").click()
    expect(page.frame_locator("#preview iframe").locator("body")).to_contain_text("Book <https://")
    page.get_by_label("Alternative text").fill("A red square")
    page.locator("#picture").set_input_files(
        {"name": "dot.png", "mimeType": "image/png", "buffer": bytes(red_dot())}
    )
    page.get_by_role("button", name="Upload the picture").click()
    expect(page.get_by_role("status").first).to_contain_text("![A red square](")
    address = page.url.partition("/pictures/")[0]

    # The same pages in English, looked at by axe, which is a script itself.
    with_scripts = browser.new_context(locale="en-GB", storage_state=page.context.storage_state()).new_page()
    for path, heading in (("edit", "News of autumn"), ("send", "News of autumn")):
        with_scripts.goto(f"{address}/{path}")
        look(with_scripts, heading)
    with_scripts.goto(f"{server.url}/archive?lang=en")
    look(with_scripts, "All newsletters")

    page.goto(f"{address}/send")
    page.get_by_label("Number of recipients").fill(page.locator(".lead").inner_text().rpartition(" ")[2])
    page.get_by_role("button", name="Send the campaign").click()
    expect(page.locator("main")).to_contain_text("The campaign is on its way.")
    page.get_by_role("link", name="Refresh").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".badge")).to_have_text("Paused")
    page.get_by_text("Cancel the campaign").click()
    page.get_by_role("button", name="Cancel it for good").click()
    expect(page.locator(".badge")).to_have_text("Cancelled")
