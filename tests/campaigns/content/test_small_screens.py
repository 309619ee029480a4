"""A newsletter on a phone of 320 pixels, in a real browser: nothing is wider than the screen."""

import pytest

from newsletter.campaigns.content.compose import compose
from newsletter.campaigns.models import Edition

pytestmark = pytest.mark.parametrize("engine", ["sqlite"])

LONG = "Lentokonesuihkuturbiinimoottoriapumekaanikkoaliupseerioppilas" * 3
OUTSIDE = "https://kirja.example/k.png"
NAME = "http://127.0.0.1:8000/pictures/0123456789abcdef0123456789abcdef-1200x90.jpg"
BODIES = {
    "a long word": f"{LONG} {LONG}",
    "a heading": f"# {LONG}",
    "a link": f"[{LONG}](https://kirja.example/) https://kirja.example/{LONG}",
    "a list": f"- {LONG}\n  - {LONG}\n    1. {LONG}\n    2. b",
    "a quote": f"> {LONG}",
    "code": f"`{LONG}`\n\n```\n{LONG}\n```",
    "a button": f"::: button\n[{LONG}](https://kirja.example/)\n:::",
    "columns": f"::: columns\n{LONG}\n+++\n![{LONG}]({OUTSIDE})\n:::",
    "a table": f"| {' | '.join('Sarake' for _ in range(9))} |\n|{'---|' * 9}\n| {' | '.join([LONG] * 9)} |",
    "a picture": f"![{LONG}]({OUTSIDE})",
}


@pytest.fixture
def phone(app, browser):
    """Show a text as a newsletter on a small phone: ``phone(body)`` gives the page."""
    page = browser.new_page(viewport={"width": 320, "height": 640})
    page.route("**/*.png", lambda route: route.fulfill(content_type="image/svg+xml", body=_picture(900)))
    page.route("**/*.gif", lambda route: route.fulfill(content_type="image/svg+xml", body=_picture(40)))
    page.route("**/*.jpg", lambda route: route.fulfill(content_type="image/svg+xml", body=_picture(1200)))

    def show(body):
        html = compose(Edition(language="fi", subject="Uutiset", preview="", body=body)).html
        page.set_content(html, wait_until="load")
        return page

    yield show
    page.close()


def _picture(width):
    return f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='90'><rect width='9' height='9'/></svg>"


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_nothing_is_wider_than_the_screen(phone, body):
    page = phone(body)

    assert page.evaluate("document.documentElement.scrollWidth") == 320
    sheet = page.locator("td.sheet").bounding_box()
    assert (sheet["x"], sheet["width"]) == (0, 320)


def test_a_wide_table_can_be_moved_and_keeps_its_words_whole(phone):
    page = phone(
        "| Päivä | Aukioloajat | Lisätietoja | Yhteydenotot |\n|---|---|---|---|\n| ma | 10–18 | ei | puhelimella |"
    )

    frame = page.locator(".wide")
    assert frame.evaluate("box => box.scrollWidth > box.clientWidth")
    assert page.locator("th").nth(1).evaluate("cell => cell.clientHeight") < 60


def test_a_picture_in_a_column_fills_a_phone(phone):
    page = phone(f"::: columns\n![Kansi]({NAME})\n+++\n![Muu]({OUTSIDE})\n:::")

    assert [box["width"] for box in (image.bounding_box() for image in page.locator("img").all()[:2])] == [
        280,
        280,
    ]


def test_a_small_picture_from_elsewhere_is_not_made_larger(phone):
    page = phone("![Merkki](https://kirja.example/merkki.gif)")

    assert page.locator("td.sheet img").bounding_box()["width"] == 40
