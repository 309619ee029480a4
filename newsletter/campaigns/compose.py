"""From Markdown to the two parts of a newsletter, once per edition.

The result still has marks where something differs from person to person; ``sending`` turns them
into the holes of the compiled message.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import nh3
from flask import render_template
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup
from selectolax.lexbor import LexborHTMLParser

from newsletter.campaigns.models import Edition
from newsletter.config import settings
from newsletter.i18n import speaking
from newsletter.mail.message import inliner

#: Stand where a person's own link will be; ".invalid" never resolves, should one ever get out.
UNSUBSCRIBE_MARK = "https://mark.invalid/unsubscribe"
PREFERENCES_MARK = "https://mark.invalid/preferences"
PIXEL_MARK = "https://mark.invalid/pixel"

_TAGS = {
    *("a", "abbr", "b", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "hr", "i", "img"),
    *("li", "ol", "p", "pre", "s", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
_ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title", "width", "height"},
    "td": {"align"},
    "th": {"align"},
}
_SCHEMES = {"http", "https", "mailto", "tel"}
_SCHEME = re.compile(rf"({'|'.join(_SCHEMES)}):", re.IGNORECASE)
_HTTP = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parts:
    """An edition as text and HTML, with marks, and the addresses that may be tracked."""

    text: str
    html: str
    #: In order of appearance in the HTML; link n of the edition is ``links[n - 1]``.
    links: tuple[str, ...]


def compose(edition: Edition) -> Parts:
    """Write both parts of an edition in its language."""
    tokens = _markdown().parse(edition.body)
    content = nh3.clean(
        _markdown().renderer.render(tokens, _markdown().options, {}),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        link_rel=None,
    )
    context = {
        "subject": edition.subject,
        "preview": edition.preview,
        "unsubscribe_url": UNSUBSCRIBE_MARK,
        "preferences_url": PREFERENCES_MARK,
        "privacy_url": f"{settings().base_url}/privacy?lang={edition.language}",
        "pixel_url": PIXEL_MARK,
    }
    with speaking(edition.language):
        # What nh3 has cleaned is the one text here that is not escaped.
        html = render_template("mail/newsletter/body.html", content=Markup(content), **context)  # noqa: S704
        text = render_template("mail/newsletter/body.txt", content=_plain(tokens), **context)
    return Parts(text=text, html=inliner().inline(html), links=_links(content))


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def _links(content: str) -> tuple[str, ...]:
    found = (node.attributes.get("href") or "" for node in LexborHTMLParser(content).css("a[href]"))
    return tuple(dict.fromkeys(href for href in found if _HTTP.match(href)))


def _plain(tokens: list[Token]) -> str:
    """Write the text part: what the HTML says, with each address spelled out."""
    blocks: list[str] = []
    prefix: list[str] = []
    for token in tokens:
        match token.type:
            case "bullet_list_open" | "ordered_list_open":
                prefix.append("- " if token.type[0] == "b" else "1. ")
            case "blockquote_open":
                prefix.append("> ")
            case "bullet_list_close" | "ordered_list_close" | "blockquote_close":
                prefix.pop()
                blocks.append("")
            case "list_item_open" if token.info:
                prefix[-1] = f"{token.info}. "
            case "inline":
                words = _prefixed(_plain_inline(token.children or []), prefix)
                blocks += [words, *([] if prefix else [""])]
            case "fence" | "code_block":
                blocks += [token.content.rstrip(), ""]
            case "hr":
                blocks += ["-" * 20, ""]
            case _:
                pass
    return re.sub(r"\n{3,}", "\n\n", "\n".join(blocks)).strip()


def _prefixed(words: str, prefix: list[str]) -> str:
    """Put the marks of quotes and lists before the first line, and under them the others."""
    further = "".join(mark if mark == "> " else " " * len(mark) for mark in prefix)
    return "".join(prefix) + words.replace("\n", "\n" + further)


def _plain_inline(tokens: list[Token]) -> str:
    words = []
    href = ""
    for token in tokens:
        match token.type:
            case "text" | "code_inline":
                words.append(token.content)
            case "softbreak" | "hardbreak":
                words.append("\n")
            case "image":
                words.append(token.content)  # its alternative text
            case "link_open":
                href = str(token.attrGet("href") or "")
                words.append("\0")
            case "link_close":
                start = len(words) - 1 - words[::-1].index("\0")
                label = "".join(words[start + 1 :])
                # What the HTML part does not link to is no address here either.
                linked = _SCHEME.match(href) and label != href
                words[start:] = [f"{label} <{href}>" if linked else label]
            case _:
                pass
    return "".join(words)
