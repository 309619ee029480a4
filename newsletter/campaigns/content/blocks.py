"""The Markdown of a newsletter: CommonMark, tables, and blocks that mail programs can show.

``::: button`` around a link makes a button; ``::: columns`` puts what stands on both sides of a line
``+++`` beside each other. Outlook lays out tables only, so both become tables.

A line break is a line break, a bare address is a link, and a number at the start of a line stays the
number that was typed: "24. joulukuuta" begins a sentence and no list.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.container import container_plugin

from newsletter.campaigns.content.linking import link_addresses
from newsletter.campaigns.content.markup import find_unparsed_markup
from newsletter.campaigns.content.numbering import keep_numbers
from newsletter.campaigns.content.pictures import display_width

#: Width of a mail's content in pixels; Outlook honours only the width attribute.
CONTENT_WIDTH = 544
_TABLE = '<table role="presentation" class="{}"{} cellpadding="0" cellspacing="0" border="0"><tr>'
_COLUMN_BREAK = "+++"
_SMALLEST_HEADING = "h4"


@lru_cache(maxsize=1)
def markdown_parser() -> MarkdownIt:
    """Return the Markdown parser, created once."""
    made = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    container_plugin(made, "button", render=_render_button)
    container_plugin(made, "columns", render=_render_columns)
    beside: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    made.block.ruler.before("hr", "column_break", _parse_column_break, beside)
    made.core.ruler.before("inline", "numbers", keep_numbers)
    made.core.ruler.before("text_join", "left_over", find_unparsed_markup)
    made.core.ruler.before("text_join", "addresses", link_addresses)
    made.core.ruler.push("arrange", _annotate_tokens)
    made.add_render_rule("column_break", _render_break)
    made.add_render_rule("table_open", _table)
    made.add_render_rule("table_close", _table)
    return made


def heading_id(words: str) -> str:
    """Return the id of a heading, for links within the newsletter: ``#uudet-kirjat``."""
    return re.sub(r"[\W_]+", "-", words.casefold()).strip("-")


def _parse_column_break(state: StateBlock, line: int, _end: int, silent: bool) -> bool:  # noqa: FBT001 - the parser's
    text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].strip()
    if text != _COLUMN_BREAK or not _is_in_columns(state):
        return False
    if not silent:
        state.push("column_break", "", 0).block = True
        state.line = line + 1
    return True


def _is_in_columns(state: StateBlock) -> bool:
    # Back to the beginning of the block around this line, or to a line of the same kind in it.
    for token in reversed(state.tokens if state.level else []):
        if token.type == "column_break" and token.level == state.level:
            return True
        if token.level == state.level - 1 and token.nesting == 1:
            return token.type == "container_columns_open"
    return False


def _annotate_tokens(state: StateCore) -> None:
    """Annotate tokens with what rendering needs to know of their surroundings."""
    inside: list[Token] = []
    for position, token in enumerate(state.tokens):
        if token.type in {"container_button_open", "container_columns_open"}:
            inside.append(token)
            token.meta = {"breaks": []}
        elif token.type in {"container_button_close", "container_columns_close"}:
            _set_column_shares(inside.pop())
        elif token.type == "column_break":
            inside[-1].meta["breaks"].append(token)
        elif token.type.startswith("paragraph") and inside and inside[-1].type == "container_button_open":
            token.hidden = True
        elif token.type in {"heading_open", "heading_close"}:
            token.tag = min(token.tag, _SMALLEST_HEADING)
            if token.nesting == 1:
                token.attrSet("id", heading_id(state.tokens[position + 1].content))
        elif token.type == "inline":
            columns = sum(item.type == "container_columns_open" for item in inside)
            _size_pictures(token.children or [], CONTENT_WIDTH // 2**columns)


def _set_column_shares(columns: Token) -> None:
    breaks = columns.meta["breaks"]
    share = 100 // (len(breaks) + 1)
    columns.meta["share"] = share
    for item in breaks:
        item.meta = {"share": share, "last": item is breaks[-1]}


def _size_pictures(tokens: Sequence[Token], room: int) -> None:
    for token in tokens:
        if token.type != "image":
            continue
        width = display_width(str(token.attrGet("src") or ""))
        # Outlook shows a picture as wide as this says, or else in its full size; nobody knows that of
        # one from elsewhere, so other programs are told to find out.
        token.attrSet("width", str(min(width or room, room)))
        if not width:
            token.attrSet("class", "outside")
        elif width >= room:
            token.attrSet("class", "full")


def _table(_renderer: Any, tokens: Sequence[Token], position: int, _options: Any, _env: Any) -> str:  # noqa: ANN401
    """Let a table that is wider than a phone be moved there, and nothing else."""
    return '<div class="wide"><table>\n' if tokens[position].nesting == 1 else "</table></div>\n"


def _render_button(_renderer: Any, tokens: Sequence[Token], position: int, _options: Any, _env: Any) -> str:  # noqa: ANN401 - the renderer's own
    if tokens[position].nesting == 1:
        return _TABLE.format("press", "") + "<td>"
    return "</td></tr></table>\n"


def _render_columns(_renderer: Any, tokens: Sequence[Token], position: int, _options: Any, _env: Any) -> str:  # noqa: ANN401
    if tokens[position].nesting == 1:
        return _TABLE.format("columns", ' width="100%"') + _open_column(
            "column", tokens[position].meta["share"]
        )
    return "</td></tr></table>\n"


def _render_break(_renderer: Any, tokens: Sequence[Token], position: int, _options: Any, _env: Any) -> str:  # noqa: ANN401
    meta = tokens[position].meta
    return "</td>" + _open_column("column last" if meta["last"] else "column", meta["share"])


def _open_column(kind: str, share: int) -> str:
    return f'<td class="{kind}" width="{share}%" valign="top">'
