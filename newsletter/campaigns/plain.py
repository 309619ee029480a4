"""The text part of a newsletter, written from the same tokens as the HTML."""

import re
from collections.abc import Sequence

from markdown_it.token import Token

SCHEMES = {"http", "https", "mailto", "tel"}
_SCHEME = re.compile(rf"({'|'.join(sorted(SCHEMES))}):", re.IGNORECASE)


def plain(tokens: Sequence[Token]) -> str:
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
