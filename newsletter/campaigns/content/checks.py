"""Checks of a newsletter before it is sent: what is wrong, and how to correct it.

An error prevents sending, a warning does not.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

from selectolax.lexbor import LexborHTMLParser, LexborNode

from newsletter.campaigns.content.comparison import differing_words, lost_words
from newsletter.campaigns.content.compose import (
    PREFERENCES_PLACEHOLDER,
    UNSUBSCRIBE_PLACEHOLDER,
    Parts,
    compose,
)
from newsletter.campaigns.content.plain import ALLOWED_SCHEMES
from newsletter.campaigns.models import Edition
from newsletter.errors import N_

#: Gmail clips a mail at about 102 kB, and the unsubscribe link is at its end.
MAX_HTML_BYTES = 100_000
#: Characters of a subject that most mailboxes show.
VISIBLE_SUBJECT_LENGTH = 60
#: Merge tags of other systems, and unfinished text.
_PLACEHOLDER_PATTERN = re.compile(
    r"\{\{.{0,200}?\}\}|\{%.{0,200}?%\}|\*\|.{0,200}?\|\*|%%.{1,200}?%%|\[\[.{0,200}?\]\]|\bx{3,}\b"
    r"|\blorem ipsum\b|\b(?:TODO|FIXME|TBD)\b",
    re.IGNORECASE,
)

_ESCAPE = N_("Correct it, or put a backslash before it if readers are meant to see it.")
#: What did not become markup, by its kind, and how it is written.
UNPARSED_MARKUP_MESSAGES = {
    "fence": (
        N_("Line %(line)s: “%(words)s” begins or ends no block."),
        N_("Blocks begin with ::: button or ::: columns and end with :::, with +++ between columns only."),
    ),
    "unclosed": (
        N_("Line %(line)s: the block “%(words)s” is not closed."),
        N_("End it with a line of its own, with the same marks. A block around others needs more of them."),
    ),
    "heading": (
        N_("Line %(line)s: “%(words)s” is no heading."),
        N_("Put a space behind #, or write \\# if readers are meant to see it."),
    ),
    "table": (
        N_("Line %(line)s: “%(words)s” is no table."),
        N_("A table needs a second line such as |---|---|, with as many columns as the first."),
    ),
    "link": (
        N_("Line %(line)s: “%(words)s” is no link."),
        N_("Write [words](https://…), with no space in the address and none between the brackets."),
    ),
    "html": (
        N_("Line %(line)s: readers would see the HTML “%(words)s” as it stands."),
        N_("Use Markdown instead, or put a backslash before < if readers are meant to see it."),
    ),
    "emphasis": (N_("Line %(line)s: readers would see the marks of “%(words)s”."), _ESCAPE),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: its sentence, what to do, and whether it prevents sending."""

    code: str
    message: str
    advice: str
    is_error: bool = True
    #: The language of the edition; None for the campaign as a whole.
    language: str | None = None
    values: dict[str, object] = field(default_factory=dict)
    #: True where an administrator may send the campaign all the same.
    is_overridable: bool = False
    #: The line of the text it is about, counted from 1; NULL where it is about no one line.
    line: int | None = None
    #: The words that a person may say are meant as they stand; empty where nobody can.
    confirmable: str = ""


def check_edition(edition: Edition, parts: Parts | None = None) -> list[Finding]:
    """Return the findings on an edition, in the order of the page."""
    parts = parts or compose(edition)
    content = LexborHTMLParser(parts.content)
    language = edition.language
    return [
        *_check_required_links(parts, language),
        *_check_text(parts, language),
        *_left_over(parts, language),
        *_differences(edition, parts),
        *_check_subject(edition, language),
        *_check_pictures(content, language),
        *_check_links(content, language),
        *_check_placeholders(edition, language),
        *_check_size(parts, language),
    ]


def _check_required_links(parts: Parts, language: str) -> Iterator[Finding]:
    links = {node.attributes.get("href") for node in LexborHTMLParser(parts.html).css("a[href]")}
    lines = set(parts.text.splitlines())
    advice = N_("The program puts these links at the end by itself. Ask whoever changed its templates.")
    if UNSUBSCRIBE_PLACEHOLDER not in links or UNSUBSCRIBE_PLACEHOLDER not in lines:
        yield Finding(
            "unsubscribe_link", N_("The link to unsubscribe is missing."), advice, language=language
        )
    if PREFERENCES_PLACEHOLDER not in links or PREFERENCES_PLACEHOLDER not in lines:
        message = N_("The link to one's own subscription details is missing.")
        yield Finding("details_link", message, advice, language=language)


def _check_text(parts: Parts, language: str) -> Iterator[Finding]:
    if not parts.words.strip():
        message = N_("The text part is empty.")
        advice = N_("Write something: mail programs that show no HTML would show an empty mail.")
        yield Finding("text_empty", message, advice, language=language)


def _left_over(parts: Parts, language: str) -> Iterator[Finding]:
    for item in parts.left_over:
        message, advice = UNPARSED_MARKUP_MESSAGES[item.kind]
        values: dict[str, object] = {"line": item.line, "words": item.words}
        yield Finding("markup", message, advice, language=language, values=values, line=item.line)


def _differences(edition: Edition, parts: Parts) -> Iterator[Finding]:
    """Compare what was written with both parts as they would arrive."""
    lost: dict[int, str] = {}
    for line, word in lost_words(edition.body, parts.content, parts.words):
        lost.setdefault(line, word)
    for line, word in lost.items():
        message = N_("Line %(line)s: readers would not see “%(words)s”.")
        advice = N_("Write it in another way: what stands like this belongs to the markup.")
        values: dict[str, object] = {"line": line, "words": word}
        yield Finding("words_lost", message, advice, language=edition.language, values=values, line=line)
    for word in list(differing_words(parts.content, parts.words))[:1]:
        message = N_("HTML and text part differ: “%(words)s” stands in one of them only.")
        advice = N_("Write it in another way, and tell whoever looks after the program.")
        values = {"words": word}
        yield Finding("parts_differ", message, advice, language=edition.language, values=values)


def _check_subject(edition: Edition, language: str) -> Iterator[Finding]:
    length = len(edition.subject)
    if length > VISIBLE_SUBJECT_LENGTH:
        message = N_("The subject has %(length)s characters.")
        advice = N_("Mailboxes cut it off after about 60, phones after about 40: put what matters first.")
        values: dict[str, object] = {"length": length}
        yield Finding("subject_length", message, advice, is_error=False, language=language, values=values)


def _check_pictures(content: LexborHTMLParser, language: str) -> Iterator[Finding]:
    for picture in content.css("img"):
        if not (picture.attributes.get("alt") or "").strip():
            values: dict[str, object] = {"picture": (picture.attributes.get("src") or "").rpartition("/")[2]}
            message = N_("A picture has no alternative text: %(picture)s")
            advice = N_(
                "Write between the square brackets what the picture tells: ![alternative text](address)"
            )
            yield Finding("alt_missing", message, advice, language=language, values=values)


def _check_links(content: LexborHTMLParser, language: str) -> Iterator[Finding]:
    goals = {node.attributes.get("id") for node in content.css("[id]")}
    for link in content.css("a"):
        address = link.attributes.get("href") or ""
        values: dict[str, object] = {"link": _link_text(link), "address": address}
        if address.startswith("#") and unquote(address[1:]) not in goals:
            message = N_("The link “%(link)s” leads to a place that is not in this letter: %(address)s")
            advice = N_("Name a heading: #summer-news leads to the heading “Summer news”.")
            yield Finding("dead_anchor", message, advice, language=language, values=values)
        elif not address.startswith("#") and address.partition(":")[0].lower() not in ALLOWED_SCHEMES:
            message = N_("The link “%(link)s” leads nowhere: %(address)s")
            advice = N_("Give the whole address, beginning with https://")
            yield Finding("dead_anchor", message, advice, language=language, values=values)
    for button in content.css("table.press"):
        if not button.css("a"):
            values = {"link": _link_text(button)}
            message = N_("The button “%(link)s” leads nowhere.")
            advice = N_("Put a link into it: [words of the button](https://…)")
            yield Finding("dead_anchor", message, advice, language=language, values=values)
    yield from _check_insecure_urls(content, language)


def _check_insecure_urls(content: LexborHTMLParser, language: str) -> Iterator[Finding]:
    found = [
        node.attributes.get("href") or node.attributes.get("src") or "" for node in content.css("a, img")
    ]
    for address in dict.fromkeys(found):
        if address.lower().startswith("http:"):
            message = N_("An address without encryption: %(address)s")
            advice = N_(
                "Write https:// if the site has it: browsers warn of the rest, and some mailboxes hide it."
            )
            values: dict[str, object] = {"address": address}
            yield Finding("http_link", message, advice, is_error=False, language=language, values=values)


def _check_placeholders(edition: Edition, language: str) -> Iterator[Finding]:
    written = f"{edition.subject}\n{edition.preview}\n{edition.body}"
    for found in dict.fromkeys(match[0][:60] for match in _PLACEHOLDER_PATTERN.finditer(written)):
        if found in (edition.confirmed_words or ()):
            continue
        message = N_("A placeholder is left over: %(placeholder)s")
        advice = N_("Write there what readers are meant to see, or confirm that it is meant as it is.")
        values: dict[str, object] = {"placeholder": found}
        yield Finding("placeholder", message, advice, language=language, values=values, confirmable=found)


def _check_size(parts: Parts, language: str) -> Iterator[Finding]:
    size = len(parts.html.encode())
    if size > MAX_HTML_BYTES:
        message = N_("The HTML part is %(size)s kB large.")
        advice = N_("Shorten it: Gmail cuts off after about 100 kB, and the link to unsubscribe with it.")
        values: dict[str, object] = {"size": size // 1000}
        yield Finding("size", message, advice, is_error=False, language=language, values=values)


def _link_text(node: LexborNode) -> str:
    return " ".join(node.text().split())[:60]
