"""Numbers at the start of a line stay what was typed, in lists and where there is no list.

"24. joulukuuta myymälä on suljettu" is a sentence, though Markdown takes it for the first item of a
list. What counts up by one, or has the same number throughout, is a list; anything else is not.
"""

from collections.abc import Sequence
from itertools import pairwise

from markdown_it.rules_core import StateCore
from markdown_it.token import Token


def keep_numbers(state: StateCore) -> None:
    """Make paragraphs of lists that are none, and give each item its number; a rule of the parser."""
    ends = _ends(state.tokens)
    kept: list[Token] = []
    position = 0
    while position < len(state.tokens):
        token = state.tokens[position]
        if token.type == "ordered_list_open":
            items = _items(state.tokens, position, ends[position])
            if _is_list(state.tokens, items, ends):
                _number(token, [state.tokens[item] for item in items])
            else:
                _loosen(kept, [state.tokens[item : ends[item]] for item in items])
                position = ends[position] + 1
                continue
        kept.append(token)
        position += 1
    state.tokens = kept


def _loosen(kept: list[Token], items: Sequence[Sequence[Token]]) -> None:
    """Write the items of what is no list as lines of a paragraph, or as paragraphs where they stood apart."""
    for item, opening, inline, closing in items:
        inline.content = f"{item.info}{item.markup} {inline.content}"
        before = kept[-2] if kept and kept[-1].type == "paragraph_close" else None
        if before and before.map and inline.map and before.map[1] == inline.map[0]:
            before.content += f"\n{inline.content}"
            before.map = [before.map[0], inline.map[1]]
            continue
        for token in (opening, inline, closing):
            token.level -= 2  # of the list, and of the item
            token.hidden = False
            kept.append(token)


def _ends(tokens: Sequence[Token]) -> dict[int, int]:
    """Return where each block that opens is closed again."""
    opened: list[int] = []
    ends = {}
    for position, token in enumerate(tokens):
        if token.nesting == 1:
            opened.append(position)
        elif token.nesting == -1:
            ends[opened.pop()] = position
    return ends


def _items(tokens: Sequence[Token], start: int, end: int) -> list[int]:
    level = tokens[start].level + 1
    return [
        position
        for position in range(start + 1, end)
        if tokens[position].type == "list_item_open" and tokens[position].level == level
    ]


def _is_list(tokens: Sequence[Token], items: Sequence[int], ends: dict[int, int]) -> bool:
    if any(ends[item] - item != _ONE_PARAGRAPH for item in items):
        return True  # what is in it needs to be moved in
    numbers = [int(tokens[item].info) for item in items]
    if len(numbers) == 1:
        return False
    steps = {after - before for before, after in pairwise(numbers)}
    return steps in ({1}, {0})


def _number(opening: Token, items: Sequence[Token]) -> None:
    """Say in the HTML what each item's number is, where counting would come to another."""
    first = int(items[0].info)
    opening.attrs.pop("start", None)
    if first != 1:
        opening.attrSet("start", str(first))
    for counted, item in enumerate(items, start=first):
        if int(item.info) != counted:
            item.attrSet("value", item.info.lstrip("0") or "0")


#: From an item to its end, when it holds a paragraph: its opening, what is in it, its closing, the end.
_ONE_PARAGRAPH = 4
