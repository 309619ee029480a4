"""Take the pictures of README: ``make screenshots``. Needs Chromium on the PATH.

Starts the real program on the demo's data in a folder of its own, and walks through the pages.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
SENDER = {
    "NEWSLETTER_SENDER_NAME": "Esimerkki Oy",
    "NEWSLETTER_SENDER_ADDRESS": "uutiskirje@yritys.example",
    "NEWSLETTER_SENDER_POSTAL": "Esimerkkikatu 1, 00100 Helsinki",
    "NEWSLETTER_SENDER_BUSINESS_ID": "1234567-8",
    "NEWSLETTER_PRIVACY_CONTACT": "tietosuoja@yritys.example",
}


LETTER = """# Syksyn uutiset

Hei! Kokosimme tähän kirjeeseen **tärkeimmät** asiat. Katso myös [hinnasto](#hinnasto).

::: button
[Varaa aika huoltoon](https://www.yritys.example/huolto)
:::

::: columns
### Myymälä
Avaamme uuden myymälän lokakuussa. Tervetuloa tutustumaan!
+++
### Huolto
Talvihuollon voi varata nyt [verkossa](https://www.yritys.example/varaus).
:::

## Hinnasto

| Huolto | Hinta |
|---|---|
| Perushuolto | 59 € |
"""


@contextmanager
def newsletter() -> Iterator[tuple[str, str]]:
    """Run the program on demo data; yield its address and the link to the first account."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | SENDER | {"NEWSLETTER_INSTANCE_PATH": folder}
        command = [sys.executable, "-m", "newsletter"]
        subprocess.run([*command, "demo"], env=environment, check=True)
        log = Path(folder) / "run.log"
        with log.open("w") as output:
            program = subprocess.Popen([*command, "run", "--port", str(port)], env=environment, stdout=output)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(f"{address}/readyz")
            found = re.search(r"http\S+/staff/first/\S+", log.read_text(encoding="utf-8"))
            yield address, found[0] if found else ""
        finally:
            program.terminate()
            program.wait()


def take(page: Page, name: str, url: str, height: int = 800) -> None:
    """Take one picture."""
    width = page.viewport_size["width"] if page.viewport_size else 1200
    page.set_viewport_size({"width": width, "height": height})
    page.goto(url)
    page.screenshot(path=IMAGES / f"{name}.png")


def write(page: Page, address: str) -> None:
    """Write a campaign, and take the pages it is written and sent on."""
    page.goto(f"{address}/staff/campaigns/new?lang=en")
    page.fill("#subject", "Syksyn uutiset")
    page.check("#list-suomeksi")
    page.locator("main button[type=submit]").click()
    written = page.url.partition("?")[0]
    page.goto(f"{written}?lang=en")
    page.fill("#body", LETTER)
    page.locator("#said", has_text="Saved:").wait_for()
    page.frame_locator("#preview iframe").get_by_text("Hinnasto").first.wait_for()
    page.locator("#subject").focus()
    page.set_viewport_size({"width": 1200, "height": 1300})
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=IMAGES / "writing.png")
    take(page, "sending", written.replace("/edit", "/send?lang=en"), 1000)


def main() -> None:
    """Take all pictures."""
    IMAGES.mkdir(exist_ok=True)
    with newsletter() as (address, first), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        phone = browser.new_context(viewport={"width": 360, "height": 800}, locale="fi").new_page()
        take(phone, "subscribe-phone", f"{address}/subscribe?lang=fi", 900)
        desktop = browser.new_context(viewport={"width": 1200, "height": 800}, locale="fi").new_page()
        take(desktop, "subscribe", f"{address}/subscribe?lang=fi", 760)
        desktop.fill("#email", "maija@posti.example")
        for box in desktop.locator("input[type=checkbox]").all():
            box.check()
        desktop.get_by_role("button", name="Tilaa").click()
        time.sleep(3)
        desktop.goto(f"{address}/mailbox?lang=fi")
        desktop.get_by_role("link", name="Vahvista uutiskirjeen tilaus").first.click()
        desktop.frame_locator("iframe").get_by_role("link").first.wait_for()
        desktop.screenshot(path=IMAGES / "confirmation-mail.png")
        desktop.goto(first)
        desktop.fill("[name=address]", "marketing@yritys.example")
        desktop.fill("[name=password]", "a password of some length")
        desktop.locator("main button[type=submit]").click()
        take(desktop, "campaigns", f"{address}/staff/campaigns?lang=en", 520)
        take(desktop, "campaign", f"{address}/staff/campaigns/4?lang=en", 900)
        write(desktop, address)
        browser.close()


def _wait_for(url: str) -> None:
    for _attempt in range(300):
        with suppress(OSError), urllib.request.urlopen(url) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise SystemExit("The program did not start.")


if __name__ == "__main__":
    main()
