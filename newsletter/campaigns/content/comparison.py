"""Compares the stored Markdown with the finished mail: every word must be in both parts, and no other."""

import html
import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from selectolax.lexbor import LexborHTMLParser, LexborNode

_WORD = re.compile(r"[^\W_]+")
#: Marks that may stand inside of a word, and are gone when they have done their work.
_MARKS = re.compile(r"[*_~`\\]+")
_ADDRESS = re.compile(r"(?:https?|mailto|tel):[^\s<>]+", re.IGNORECASE)
#: Names of blocks, and of programming languages, are not for readers.
_BLOCK_NAMES = re.compile(r"^[\s>*+\d.)-]*(?::{3,}|`{3,}|~{3,})[^`\n]*$")
_LABEL = re.compile(r"(?<=\])\[[^\]\n]*\]|^[\s>]*\[[^\]\n]+\]:")
_SHOWN_ATTRIBUTES = ("alt", "title", "href", "src")


def lost_words(body: str, content: str, text: str) -> Iterator[tuple[int, str]]:
    """Yield line and word of what was written and stands in neither part, or in one of them only.

    ``content`` and ``text`` are the parts without what stands around what was written.
    """
    in_html, in_text = _words_of_html(content), _words(_spelled_out(text))
    there = {word: max(in_html[word], in_text[word]) for word in in_html.keys() | in_text.keys()}
    lines = [_for_readers(line) for line in body.split("\n")]
    # A mark inside of a word may part two words, or be gone: what fits either way is there.
    missing = _counted(lines) - Counter(there)
    missing &= _counted([_MARKS.sub("", line) for line in lines]) - Counter(there)
    for number, line in enumerate(lines, start=1):
        for word in _WORD.findall(line.casefold()):
            if missing[word] > 0:
                missing[word] -= 1
                yield number, word


def differing_words(content: str, text: str) -> Iterator[str]:
    """Yield the words that only one of the two parts has."""
    in_html, in_text = _words_of_html(content), _words(_spelled_out(text))
    yield from _words(_shown(LexborHTMLParser(content))) - in_text
    yield from (word for word in in_text if word not in in_html)  # a wide table names its columns in each row


def _counted(lines: list[str]) -> Counter[str]:
    return _words("\n".join(lines))


def _words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text.casefold()))


def _for_readers(line: str) -> str:
    return "" if _BLOCK_NAMES.match(line) else _spelled_out(_LABEL.sub("", html.unescape(line)))


def _spelled_out(text: str) -> str:
    """Write addresses as people do: with letters instead of percent signs and A-labels."""
    return _ADDRESS.sub(lambda found: _readable(found[0]), text)


def _readable(address: str) -> str:
    try:
        host = urlsplit(address).hostname or ""
        named = host.encode("ascii").decode("idna")
    except ValueError:
        host = named = ""
    return unquote(address.replace(host, named) if host else address)


def _words_of_html(content: str) -> Counter[str]:
    page = LexborHTMLParser(content)
    attributes = [
        unquote(_spelled_out(value))
        for node in page.css("a, img")
        for name, value in node.attributes.items()
        if name in _SHOWN_ATTRIBUTES and value
    ]
    numbers = [number for items in page.css("ol") for number in _numbers(items)]
    return _words("\n".join([_shown(page), *attributes, *numbers]))


def _numbers(items: LexborNode) -> Iterator[str]:
    """Count as browsers do."""
    number = int(items.attributes.get("start") or 1)
    for item in items.iter():
        if item.tag == "li":
            number = int(item.attributes.get("value") or number)
            yield str(number)
            number += 1


def _shown(page: LexborHTMLParser) -> str:
    return page.body.text() if page.body else ""
