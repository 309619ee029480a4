"""Branding of mails: from one colour, shades with enough contrast on light and on dark ground."""

from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup

from newsletter.config import current_settings

LIGHT, DARK = "#ffffff", "#171f1c"
_INK, _BLACK = "#05231b", "#000000"
#: WCAG 2.2, 1.4.3: the least contrast of text.
MIN_CONTRAST = 4.5


@dataclass(frozen=True, slots=True)
class Brand:
    """What the layout of a mail needs."""

    logo: str
    colour: str
    #: Of words on a ground of that colour.
    on_colour: str
    #: Of links on white: the colour itself, or a darker shade of it.
    link: str
    #: Of links and buttons on dark ground.
    dark: str
    on_dark: str
    #: Checked when it was read, so it needs no escaping inside a style sheet.
    font: Markup
    footer: str


def brand() -> Brand:
    """Return the look that the settings ask for."""
    chosen = current_settings()
    return _brand(chosen.brand_logo, chosen.brand_colour, chosen.brand_font, chosen.brand_footer)


@lru_cache(maxsize=8)
def _brand(logo: str, colour: str, font: str, footer: str) -> Brand:
    dark = _readable_shade(colour, LIGHT, DARK)
    return Brand(
        logo=logo,
        colour=colour,
        on_colour=_text_colour_on(colour),
        link=_readable_shade(colour, _BLACK, LIGHT),
        dark=dark,
        on_dark=_text_colour_on(dark),
        font=Markup(font),  # noqa: S704 - see Brand.font
        footer=footer,
    )


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours (WCAG 2.2), from 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _text_colour_on(ground: str) -> str:
    best = max((LIGHT, _INK), key=lambda colour: contrast(colour, ground))
    # Where white cannot be read, black can.
    return best if contrast(best, ground) >= MIN_CONTRAST else _BLACK


def _readable_shade(colour: str, towards: str, ground: str) -> str:
    """Mix a colour with another until it can be read on a ground."""
    for step in range(21):
        mixed = _mix(colour, towards, step / 20)
        if contrast(mixed, ground) >= MIN_CONTRAST:
            return mixed
    return towards


def _mix(one: str, other: str, share: float) -> str:
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _luminance(colour: str) -> float:
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - sRGB
        for value in (channel / 255 for channel in _channels(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
