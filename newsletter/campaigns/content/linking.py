"""Links bare addresses in text: https://…, www.… and mailboxes."""

import re
from functools import lru_cache
from typing import Any

from linkify_it import LinkifyIt
from linkify_it.main import Match
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from newsletter.campaigns.content.plain import is_linkable

_IN_HTML = ("=", "='", '="')
_SCHEMES = {"http:", "https:", "www.", "mailto:"}


def link_addresses(state: StateCore) -> None:
    """Turn bare addresses into links; a core rule of the parser."""
    finder = _linkify()
    for inline in state.tokens:
        if inline.type != "inline" or not finder.pretest(inline.content):
            continue
        linked: list[Token] = []
        inside = 0
        for token in inline.children or []:
            inside += {"link_open": 1, "link_close": -1}.get(token.type, 0)
            if token.type == "text" and not inside:
                is_escaped = bool(linked) and linked[-1].type == "text_special"
                linked += _split(token, state, is_escaped=is_escaped)
            else:
                linked.append(token)
        inline.children = linked


def _split(token: Token, state: StateCore, *, is_escaped: bool) -> list[Token]:
    made: list[Token] = []
    behind = 0
    for found in _linkify().match(token.content) or []:
        # "https\://kirja.example" is not meant as a link, and HTML that is shown is no markup.
        before = token.content[max(0, found.index - 2) : found.index]
        if found.schema not in _SCHEMES or before.endswith(_IN_HTML) or (is_escaped and found.index == 0):
            continue
        address = state.md.normalizeLink(_full_address(found))
        if not state.md.validateLink(address) or not is_linkable(address):
            continue
        made += [
            _text_token(token.content[behind : found.index], token.level),
            Token("link_open", "a", 1, attrs={"href": address}, level=token.level, info="auto"),
            _text_token(found.raw, token.level + 1),
            Token("link_close", "a", -1, level=token.level, info="auto"),
        ]
        behind = found.last_index
    return [*made, _text_token(token.content[behind:], token.level)] if made else [token]


def _full_address(found: Match) -> str:
    if found.schema == "www.":
        return f"https://{found.raw}"
    is_bare = found.schema == "mailto:" and not found.raw.lower().startswith("mailto:")
    return f"mailto:{found.raw}" if is_bare else found.raw


def _text_token(words: str, level: int) -> Token:
    return Token("text", "", 0, content=words, level=level)


@lru_cache(maxsize=1)
def _linkify() -> LinkifyIt:
    made = LinkifyIt(options={"fuzzy_link": False, "fuzzy_email": True, "fuzzy_ip": False})
    made.tlds(["[a-z]{2,63}"])  # domains of any ending; "kirja.fi" alone is not taken for an address
    made.add("www.", {"validate": _after_www})
    return made


def _after_www(finder: Any, text: str, position: int) -> int:  # noqa: ANN401 - the library has no types
    """Return how much of the text behind "www." belongs to the address."""
    pattern = finder.re.get("after_www")
    if pattern is None:
        source = finder.re["src_host_port_strict"] + finder.re["src_path"]
        pattern = finder.re["after_www"] = re.compile(source, re.IGNORECASE)
    found = pattern.match(text, position)
    return len(found[0]) if found else 0
