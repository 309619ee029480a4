"""From Markdown to the two parts of a newsletter, once per edition.

The result still has marks where something differs from person to person; ``sending`` turns them
into the holes of the compiled message.
"""

import re
from dataclasses import dataclass
from typing import Any

import nh3
from flask import render_template
from markupsafe import Markup
from selectolax.lexbor import LexborHTMLParser

from newsletter.campaigns.archive import address_of
from newsletter.campaigns.blocks import parser
from newsletter.campaigns.markup import LEFT, LeftOver
from newsletter.campaigns.models import Edition
from newsletter.campaigns.plain import SCHEMES, first_words, plain
from newsletter.config import current_settings
from newsletter.mail.branding import brand
from newsletter.mail.message import inliner
from newsletter.subscribers.consent.tracking import silence_is_measured
from newsletter.web.i18n import force_language

#: Stand where a person's own link will be; ".invalid" never resolves, should one ever get out.
UNSUBSCRIBE_MARK = "https://mark.invalid/unsubscribe"
PREFERENCES_MARK = "https://mark.invalid/preferences"
PIXEL_MARK = "https://mark.invalid/pixel"

_TAGS = {
    *(
        "a",
        "abbr",
        "b",
        "blockquote",
        "br",
        "code",
        "del",
        "div",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "hr",
        "i",
        "img",
    ),
    *("li", "ol", "p", "pre", "s", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
_ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title", "width", "height"},
    "table": {"role", "width", "cellpadding", "cellspacing", "border"},
    "td": {"align", "valign", "width"},
    "th": {"align"},
    "ol": {"start"},
    "li": {"value"},
    **{f"h{level}": {"id"} for level in range(1, 5)},
}
#: Only our own blocks have classes: HTML that somebody writes is shown, not carried out.
_CLASSES = {
    "table": {"press", "columns"},
    "td": {"column", "last"},
    "div": {"wide"},
    "img": {"outside", "full"},
}
_HTTP = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parts:
    """An edition as text and HTML, with marks, and the addresses that may be tracked."""

    text: str
    html: str
    #: In order of appearance in the HTML; link n of the edition is ``links[n - 1]``.
    links: tuple[str, ...]
    #: What was written, without what stands around it: HTML that does no harm, and plain text.
    content: str
    words: str
    #: What was meant as markup, and stands there as it was typed.
    left_over: tuple[LeftOver, ...] = ()


def compose(edition: Edition) -> Parts:
    """Write both parts of an edition in its language."""
    content, words, left_over = _content(edition.body)
    context = _context(edition) | {
        "unsubscribe_url": UNSUBSCRIBE_MARK,
        "preferences_url": PREFERENCES_MARK,
        "archive_url": address_of(edition),
        "refuse_url": f"{PREFERENCES_MARK}#measuring" if silence_is_measured() else "",
        "pixel_url": PIXEL_MARK,
        "is_page": False,
        "first_words": first_words(words),
    }
    with force_language(edition.language):
        html = _render_html(content, context)
        text = render_template("mail/newsletter/body.txt", content=words, **context)
    return Parts(
        text=text, html=html, links=_links(content), content=content, words=words, left_over=left_over
    )


def compose_page(edition: Edition, *, archive_url: str, subscribe_url: str) -> str:
    """Write an edition as a page for everybody: nothing in it is personal, and nothing is measured."""
    around = {
        "archive_url": archive_url,
        "subscribe_url": subscribe_url,
        "pixel_url": "",
        "refuse_url": "",
        "is_page": True,
    }
    with force_language(edition.language):
        return _render_html(_content(edition.body)[0], _context(edition) | around)


def _content(body: str) -> tuple[str, str, tuple[LeftOver, ...]]:
    found: dict[str, Any] = {}
    # The plugin of blocks reads one character beyond a last line that is empty.
    tokens = parser().parse(f"{body}\n", found)
    content = nh3.clean(
        parser().renderer.render(tokens, parser().options, {}),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        allowed_classes=_CLASSES,
        url_schemes=SCHEMES,
        link_rel=None,
    )
    return content, plain(tokens), tuple(found[LEFT])


def _context(edition: Edition) -> dict[str, object]:
    return {
        "subject": edition.subject,
        "preview": edition.preview,
        "brand": brand(),
        "privacy_url": f"{current_settings().base_url}/privacy?lang={edition.language}",
    }


def _render_html(content: str, context: dict[str, object]) -> str:
    # What nh3 has cleaned is the one text here that is not escaped.
    html = render_template("mail/newsletter/body.html", content=Markup(content), **context)  # noqa: S704
    return inliner().inline(html)


def _links(content: str) -> tuple[str, ...]:
    found = (node.attributes.get("href") or "" for node in LexborHTMLParser(content).css("a[href]"))
    return tuple(dict.fromkeys(href for href in found if _HTTP.match(href)))
