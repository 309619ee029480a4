"""The company's look: one colour becomes several that can all be read."""

import pytest
from selectolax.lexbor import LexborHTMLParser

from newsletter.campaigns.content.compose import compose
from newsletter.campaigns.models import Edition
from newsletter.mail.branding import DARK, LIGHT, MIN_CONTRAST, brand, contrast


@pytest.mark.parametrize(
    "colour", ["#0b6a58", "#ffee00", "#000000", "#ffffff", "#ff0000", "#7f7f7f", "#00ff00", "#0000ff"]
)
def test_any_colour_gives_words_that_can_be_read(make_app, colour):
    with make_app(brand_colour=colour).app_context():
        look = brand()

    assert look.colour == colour
    assert contrast(look.on_colour, look.colour) >= MIN_CONTRAST
    assert contrast(look.link, LIGHT) >= MIN_CONTRAST
    assert contrast(look.dark, DARK) >= MIN_CONTRAST
    assert contrast(look.on_dark, look.dark) >= MIN_CONTRAST


def test_a_newsletter_wears_the_look_of_the_settings(make_app):
    chosen = {
        "brand_logo": "https://www.kirjakauppa.example/logo.png",
        "brand_colour": "#8a1538",
        "brand_font": 'Georgia, "Times New Roman", serif',
        "brand_footer": "Avoinna ma-pe 9-17",
    }
    with make_app(**chosen).app_context():
        parts = compose(Edition(language="fi", subject="Uutiset", preview="", body="[x](https://k.example/)"))

    page = LexborHTMLParser(parts.html)
    (logo,) = page.css("td.brand img")
    assert (logo.attributes["src"], logo.attributes["alt"]) == (chosen["brand_logo"], "Kirjakauppa Oy")
    assert "color: #8a1538" in page.css_first("td.sheet a").attributes["style"]
    assert (
        "font-family: Georgia, 'Times New Roman', serif" in page.css_first("table.page").attributes["style"]
    )
    assert "Avoinna ma-pe 9-17" in page.css_first("td.foot").text()
    assert "Avoinna ma-pe 9-17" in parts.text.splitlines()
