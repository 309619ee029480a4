"""Which level may use which endpoint, as one table: the page in the docs, and what the crawl is held to."""

from collections.abc import Iterator

from flask import Flask

from newsletter.staff.access import guarded_endpoints
from newsletter.staff.models import Role

EVERYBODY = "everybody"
_HEAD = """\
# Levels and endpoints

Written by `newsletter staff matrix`; a test holds that this page is right, and another that every endpoint
answers each level as it says. *Everybody* means without signing in. *Again*: the password or a code must have
been given within the last quarter of an hour. What is not in the table under `/staff` is closed to all.
"""


def rows(app: Flask) -> Iterator[tuple[str, str, frozenset[str], bool]]:
    """Yield (method, path, levels, again) of every guarded endpoint, by path and method."""
    found = {
        (path, method, access)
        for method, path, _endpoint, access in guarded_endpoints(app)
        if access is not None
    }
    for path, method, access in sorted(found, key=lambda row: row[:2]):
        levels = frozenset(role.value for role in access.roles) or frozenset({EVERYBODY})
        yield method, path, levels, access.fresh


def write(app: Flask) -> str:
    """Return the table as Markdown."""
    names = [role.value for role in Role]
    lines = [
        _HEAD,
        f"| | | {EVERYBODY} | {' | '.join(names)} | again |",
        "|---|---|" + "---|" * (len(names) + 2),
    ]
    for method, path, levels, again in rows(app):
        open_to = levels | (frozenset(names) if EVERYBODY in levels else frozenset())
        cells = ["yes" if name in open_to else "" for name in (EVERYBODY, *names)]
        lines.append(f"| {method} | `{path}` | {' | '.join(cells)} | {'yes' if again else ''} |")
    return "\n".join(lines).replace("  ", " ") + "\n"
