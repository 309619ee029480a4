"""Finds markup that the parser did not understand, which readers would see as stars, brackets and colons.

It searches what the parser left as text, before escapes are joined with it: an escaped character is meant
literally.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markdown_it.rules_core import StateCore
from markdown_it.token import Token

#: The key of the findings in the parser's environment.
ENVIRONMENT_KEY = "left_over"
#: Placeholders of an escaped character, and of code and pictures.
_PROTECTED, _OTHER = "\ue000", "\ue001"
#: Kinds of unparsed markup and their patterns; the first match in a line decides.
_KINDS = {
    "fence": re.compile(r":{3,}.*|^::.*|^\+{3,}\s*$", re.MULTILINE),
    "heading": re.compile(r"^#{1,6}[^\W\d_].*", re.MULTILINE),
    "table": re.compile(r"^\|.*\|\s*$", re.MULTILINE),
    "link": re.compile(
        r"!?\[[^\n]{0,300}?\](?:[(\[]|\s+\((?=https?:|www\.|mailto:)).*"
        r"|\([^()\n]*\)\[(?=https?:|www\.|mailto:).*|!\[.*"
    ),
    "html": re.compile(r"</?[a-zA-Z][^<>\n]*>|<!--.*"),
    "emphasis": re.compile(
        r"(?<![*])\*\*(?![*]).*|(?<![*])\*{3}(?=[^\s*]).*|(?<=[^\s*])\*{3}(?![*])"
        r"|(?<!_)__(?!_).*|(?<!~)~~(?!~).*"
        r"|(?<![^\s(])([*_])(?=[^\s*_])[^*_\n]*\s\1(?![\w*])"
    ),
}
_CLOSING = re.compile(r"[\s>]*(:{3,})\s*")
_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class UnparsedMarkup:
    """A place with unparsed markup. ``line`` counts from 1."""

    kind: str
    line: int
    words: str


def find_unparsed_markup(state: StateCore) -> None:
    """Store the findings in the environment; a core rule of the parser."""
    lines = state.src.split("\n")
    found = [*_unclosed(state.tokens, lines)]
    place = 0
    for token in state.tokens:
        place = token.map[0] if token.map else place
        if token.type == "inline":
            found += _in_text(_shown(token.children or []), place)
    state.env[ENVIRONMENT_KEY] = sorted(found, key=lambda item: item.line)


def _unclosed(tokens: Sequence[Token], lines: Sequence[str]) -> Iterator[UnparsedMarkup]:
    closed: set[int] = set()
    for token in tokens:
        if token.type not in {"container_button_open", "container_columns_open", "fence"} or not token.map:
            continue
        start, end = token.map
        if token.type == "fence":
            last = lines[min(end, len(lines)) - 1].strip(" \t>")
            is_closed = end - 1 > start and set(last) == {token.markup[0]} and len(last) >= len(token.markup)
        else:
            # What ends together with the block around it was ended by that, and not by a line of its own.
            is_closed = end < len(lines) and end not in closed and bool(_CLOSING.fullmatch(lines[end]))
            closed.add(end)
        if not is_closed:
            yield UnparsedMarkup("unclosed", start + 1, lines[start].strip()[:_LONGEST_SHOWN])


def _shown(tokens: Sequence[Token]) -> str:
    """Return the text of a block, with line breaks, and nothing in it that was understood."""
    words = []
    for token in tokens:
        match token.type:
            case "text":
                words.append(token.content)
            case "text_special":
                words.append(_PROTECTED * len(token.content))
            case "softbreak" | "hardbreak":
                words.append("\n")
            case "code_inline" | "image":
                words.append(_OTHER)
            case _:
                pass
    return "".join(words)


def _in_text(shown: str, place: int) -> Iterator[UnparsedMarkup]:
    for number, line in enumerate(shown.split("\n"), start=place + 1):
        for kind, looks in _KINDS.items():
            found = looks.search(line)
            if found:
                words = found[0].translate({ord(_PROTECTED): None, ord(_OTHER): None}).strip()
                yield UnparsedMarkup(kind, number, words[:_LONGEST_SHOWN])
                break
