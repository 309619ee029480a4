"""The table of endpoints and roles: written to docs/roles.md, and checked by the crawl test."""

from collections.abc import Iterator
from dataclasses import dataclass

from flask import Flask

from newsletter.staff.auth.access import guarded_endpoints
from newsletter.staff.models import Role

EVERYBODY = "everybody"
_HEADER = """\
# Levels and endpoints

Written by `newsletter staff matrix`; a test holds that this page is right, and another that every endpoint
answers each level as it says. *Everybody* means without signing in. *Again*: the password or a code must have
been given within the last quarter of an hour. *Lists*: open also to staff limited to some lists, who find
nothing there of the others. What is not in the table under `/staff` is closed to all.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """Who may use an endpoint, in words."""

    method: str
    path: str
    levels: frozenset[str]
    again: bool
    by_list: bool


def matrix_rows(app: Flask) -> Iterator[Row]:
    """Yield every guarded endpoint, by path and method."""
    found = {
        (path, method, access)
        for method, path, _endpoint, access in guarded_endpoints(app)
        if access is not None
    }
    for path, method, access in sorted(found, key=lambda row: row[:2]):
        levels = frozenset(role.value for role in access.roles) or frozenset({EVERYBODY})
        yield Row(method, path, levels, access.fresh, access.by_list or access.unfinished)


def render_markdown(app: Flask) -> str:
    """Return the table as Markdown."""
    names = [role.value for role in Role]
    lines = [
        _HEADER,
        f"| | | {EVERYBODY} | {' | '.join(names)} | again | lists |",
        "|---|---|" + "---|" * (len(names) + 3),
    ]
    for row in matrix_rows(app):
        open_to = row.levels | (frozenset(names) if EVERYBODY in row.levels else frozenset())
        said = [*(name in open_to for name in (EVERYBODY, *names)), row.again, row.by_list]
        cells = ["yes" if is_so else "" for is_so in said]
        lines.append(f"| {row.method} | `{row.path}` | {' | '.join(cells)} |")
    return "\n".join(lines).replace("  ", " ") + "\n"
