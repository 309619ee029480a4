"""The text part of a newsletter, written from the same tokens as the HTML."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from markdown_it.token import Token

ALLOWED_SCHEMES = {"http", "https", "mailto", "tel"}
_HTTP_PATTERN = r"https?://(?:[^/?#%\s<>\[\]\\^|@:]+|\[[0-9a-f:.]+\])(?:[/?#:@]|$)"
_LINKABLE_PATTERN = re.compile(rf"{_HTTP_PATTERN}|(?:mailto|tel):", re.IGNORECASE)
_DIVIDER = "-" * 20
#: What stands under a heading, by its level.
_UNDERLINES = {"h1": "=", "h2": "-"}
_SHORTEST_UNDERLINE, _LONGEST_UNDERLINE = 3, 72
#: Wider tables are written as a paragraph for each row.
_WIDEST_TABLE = 72

#: How much of the text a mailbox shows where nobody has written a preview.
_SHOWN_FIRST = 110
_RULE, _SPELLED_OUT = re.compile(r"[\s>]*[=~ -]{3,}"), re.compile(r" ?<\S+:\S+>|https?://\S+")

#: The lines of a paragraph, a list, a table.
Block = list[str]


@dataclass(slots=True)
class _Frame:
    """A block with others in it, while it is being read."""

    kind: str
    blocks: list[Block] = field(default_factory=list)
    #: What stands before its first line; the others are moved in as far.
    mark: str = ""
    #: True where nothing is left free between what it holds.
    is_tight: bool = False

    def lines(self) -> Block:
        between = [] if self.is_tight else [""]
        joined: Block = []
        for block in filter(None, self.blocks):
            joined += [*(between if joined else []), *block]
        if self.kind == "blockquote":
            return [f"> {line}".rstrip() for line in joined]
        if not self.mark:
            return joined
        indent = " " * len(self.mark)
        first, *others = joined or [""]
        return [(self.mark + first).rstrip(), *(indent + line if line else "" for line in others)]


@dataclass(slots=True)
class _Table:
    rows: list[list[str]] = field(default_factory=list)

    def lines(self) -> Block:
        """Write columns under one another, or where they are too wide a few lines for each row."""
        head, *rows = [[" ".join(cell.split()) for cell in row] for row in self.rows]
        columns = list(zip(head, *rows, strict=True))
        widths = [max(map(len, column)) for column in columns]
        if sum(widths) + 2 * len(widths) <= _WIDEST_TABLE:
            shown = [head, ["-" * width for width in widths], *rows]
            padded = (zip(row, widths, strict=True) for row in shown)
            return ["  ".join(cell.ljust(width) for cell, width in row).rstrip() for row in padded]
        lines: Block = []
        for row in rows or [head]:
            named = zip(head if rows else [""] * len(head), row, strict=True)
            lines += ["", *(f"{name}: {cell}" if name else cell for name, cell in named if cell)]
        return lines[1:]


def render_plain_text(tokens: Sequence[Token]) -> str:
    """Write the text part: what the HTML says, with each address spelled out."""
    writer = _Writer()
    for token in tokens:
        writer.read(token)
    return "\n".join(writer.frames[0].lines()).strip("\n")


def first_words(text: str) -> str:
    """Return how a text part begins, for a mailbox to show beside the subject."""
    lines = (line for line in text[: 4 * _SHOWN_FIRST].splitlines() if not _RULE.fullmatch(line))
    words = " ".join(_SPELLED_OUT.sub("", " ".join(lines)).split())
    if len(words) <= _SHOWN_FIRST:
        return words
    return words[:_SHOWN_FIRST].rpartition(" ")[0].rstrip(",;:–-") + "…"


class _Writer:
    """Reads tokens one after another, and keeps what is open in ``frames``."""

    def __init__(self) -> None:
        self.frames = [_Frame("document")]
        self._table: _Table | None = None
        self._heading = ""

    def read(self, token: Token) -> None:
        """Take the next token."""
        match token.type:
            case "bullet_list_open" | "ordered_list_open" | "blockquote_open":
                self.frames.append(_Frame(token.type.removesuffix("_open"), is_tight="list" in token.type))
            case "list_item_open":
                mark = f"{token.info}{token.markup} " if token.info else "- "
                self.frames.append(_Frame("list_item", mark=mark, is_tight=True))
            case "bullet_list_close" | "ordered_list_close" | "blockquote_close" | "list_item_close":
                closed = self.frames.pop()
                self.frames[-1].blocks.append(closed.lines())
            case "paragraph_open" if not token.hidden and self.frames[-1].kind == "list_item":
                # A free line in one item, and there is one between all of them.
                self.frames[-1].is_tight = self.frames[-2].is_tight = False
            case "heading_open" | "heading_close":
                self._heading = token.tag if token.nesting == 1 else ""
            case "table_open" | "table_close" | "tr_open":
                self._read_table(token.type)
            case "inline":
                self._write(_render_inline(token.children or []))
            case "fence" | "code_block":
                self._add(token.content.rstrip().split("\n"))
            case "hr":
                self._add([_DIVIDER])
            case _:
                pass

    def _read_table(self, kind: str) -> None:
        if kind == "table_open":
            self._table = _Table()
        elif self._table is not None and kind == "tr_open":
            self._table.rows.append([])
        elif self._table is not None:
            self._add(self._table.lines())
            self._table = None

    def _write(self, words: str) -> None:
        if self._table is not None:
            self._table.rows[-1].append(words)
            return
        lines = words.split("\n")
        if self._heading and words:
            length = min(max(_SHORTEST_UNDERLINE, *map(len, lines)), _LONGEST_UNDERLINE)
            lines.append(_UNDERLINES.get(self._heading, "~") * length)
        self._add(lines)

    def _add(self, lines: Block) -> None:
        self.frames[-1].blocks.append(lines)


def _render_inline(tokens: Iterable[Token]) -> str:
    words: list[str] = []
    opened: list[tuple[int, str]] = []
    for token in tokens:
        match token.type:
            case "text" | "code_inline":
                words.append(token.content)
            case "softbreak" | "hardbreak":
                words.append("\n")
            case "image":
                words.append(token.content)  # its alternative text
            case "link_open":
                opened.append((len(words), str(token.attrGet("href") or "")))
            case "link_close":
                start, href = opened.pop()
                words[start:] = [_link("".join(words[start:]), href)]
            case _:
                pass
    return "".join(words)


def is_linkable(href: str) -> bool:
    """Return whether the HTML part links an address: an allowed scheme, with a valid host."""
    return bool(_LINKABLE_PATTERN.match(href))


def _link(label: str, href: str) -> str:
    # What the HTML part does not link to is no address here either.
    if not is_linkable(href) or label == href:
        return label
    bare: Callable[[str], str] = str.casefold
    if bare(href) in {f"mailto:{bare(label)}", f"https://{bare(label)}"}:
        return href.removeprefix("mailto:") if href.startswith("mailto:") else href
    return f"{label} <{href}>"
