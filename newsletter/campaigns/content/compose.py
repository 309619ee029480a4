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

from newsletter.campaigns.archive import archive_url_of
from newsletter.campaigns.content.blocks import markdown_parser
from newsletter.campaigns.content.markup import ENVIRONMENT_KEY, UnparsedMarkup
from newsletter.campaigns.content.plain import ALLOWED_SCHEMES, first_words, render_plain_text
from newsletter.campaigns.models import Edition
from newsletter.config import current_settings
from newsletter.mail.branding import brand
from newsletter.mail.message import inliner
from newsletter.subscribers.consent.tracking import is_tracked_by_default
from newsletter.web.i18n import force_language

#: Placeholders of personal links; ".invalid" never resolves (RFC 2606), should one be sent.
UNSUBSCRIBE_PLACEHOLDER = "https://mark.invalid/unsubscribe"
PREFERENCES_PLACEHOLDER = "https://mark.invalid/preferences"
PIXEL_PLACEHOLDER = "https://mark.invalid/pixel"

_ALLOWED_TAGS = {
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
_ALLOWED_ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title", "width", "height"},
    "table": {"role", "width", "cellpadding", "cellspacing", "border"},
    "td": {"align", "valign", "width"},
    "th": {"align"},
    "ol": {"start"},
    "li": {"value"},
    **{f"h{level}": {"id"} for level in range(1, 5)},
}
#: Only our own blocks have classes: HTML in the Markdown is escaped.
_ALLOWED_CLASSES = {
    "table": {"press", "columns"},
    "td": {"column", "last"},
    "div": {"wide"},
    "img": {"outside", "full"},
}
_HTTP_PATTERN = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parts:
    """The text and HTML parts of an edition, with placeholders, and the links that may be tracked."""

    text: str
    html: str
    #: In order of appearance in the HTML; link n of the edition is ``links[n - 1]``.
    links: tuple[str, ...]
    #: What was written, without what stands around it: HTML that does no harm, and plain text.
    content: str
    words: str
    #: What was meant as markup, and stands there as it was typed.
    left_over: tuple[UnparsedMarkup, ...] = ()


def compose(edition: Edition) -> Parts:
    """Render both parts of an edition in its language."""
    content, words, left_over = _render_markdown(edition.body)
    context = _template_context(edition) | {
        "unsubscribe_url": UNSUBSCRIBE_PLACEHOLDER,
        "preferences_url": PREFERENCES_PLACEHOLDER,
        "archive_url": archive_url_of(edition),
        "refuse_url": f"{PREFERENCES_PLACEHOLDER}#measuring" if is_tracked_by_default() else "",
        "pixel_url": PIXEL_PLACEHOLDER,
        "is_page": False,
        "first_words": first_words(words),
    }
    with force_language(edition.language):
        html = _render_html(content, context)
        text = render_template("mail/newsletter/body.txt", content=words, **context)
    return Parts(
        text=text, html=html, links=_tracked_links(content), content=content, words=words, left_over=left_over
    )


def compose_page(edition: Edition, *, archive_url: str, subscribe_url: str) -> str:
    """Render an edition as a public page, without personal or tracked links."""
    around = {
        "archive_url": archive_url,
        "subscribe_url": subscribe_url,
        "pixel_url": "",
        "refuse_url": "",
        "is_page": True,
    }
    with force_language(edition.language):
        return _render_html(_render_markdown(edition.body)[0], _template_context(edition) | around)


def _render_markdown(body: str) -> tuple[str, str, tuple[UnparsedMarkup, ...]]:
    found: dict[str, Any] = {}
    # The plugin of blocks reads one character beyond a last line that is empty.
    tokens = markdown_parser().parse(f"{body}\n", found)
    content = nh3.clean(
        markdown_parser().renderer.render(tokens, markdown_parser().options, {}),
        tags=_ALLOWED_TAGS,
        attributes=_ALLOWED_ATTRIBUTES,
        allowed_classes=_ALLOWED_CLASSES,
        url_schemes=ALLOWED_SCHEMES,
        link_rel=None,
    )
    return content, render_plain_text(tokens), tuple(found[ENVIRONMENT_KEY])


def _template_context(edition: Edition) -> dict[str, object]:
    return {
        "subject": edition.subject,
        "preview": edition.preview,
        "brand": brand(),
        "privacy_url": f"{current_settings().base_url}/privacy?lang={edition.language}",
    }


def _render_html(content: str, context: dict[str, object]) -> str:
    # Sanitized by nh3, so it is not escaped.
    html = render_template("mail/newsletter/body.html", content=Markup(content), **context)  # noqa: S704
    return inliner().inline(html)


def _tracked_links(content: str) -> tuple[str, ...]:
    found = (node.attributes.get("href") or "" for node in LexborHTMLParser(content).css("a[href]"))
    return tuple(dict.fromkeys(href for href in found if _HTTP_PATTERN.match(href)))
