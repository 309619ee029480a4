"""The retention schedule as text: the page, the notice and the command line show the same lines."""

from dataclasses import dataclass

from newsletter.config import current_settings
from newsletter.db import Base
from newsletter.retention import RULES
from newsletter.web.i18n import translate


@dataclass(frozen=True, slots=True)
class ScheduleLine:
    """One retention rule, in the current language."""

    key: str
    what: str
    how_long: str
    since: str
    then: str
    #: What is kept by it, as table.column.
    columns: list[str]


def schedule_lines(*, everything: bool = False) -> list[ScheduleLine]:
    """Return the rules in the language in force; without ``everything`` those that concern subscribers."""
    columns = columns_by_rule()
    return [
        ScheduleLine(
            rule.key,
            translate(rule.what),
            translate(rule.how_long, rule.values(current_settings())),
            translate(rule.since),
            translate(rule.then),
            columns.get(rule.key, []),
        )
        for rule in RULES
        if everything or rule.is_public
    ]


def columns_by_rule() -> dict[str, list[str]]:
    """Return the columns that name each rule."""
    found: dict[str, list[str]] = {}
    for table in sorted(Base.metadata.tables.values(), key=lambda table: table.name):
        for column in table.columns:
            if (rule := column.info.get("retention")) is not None:
                found.setdefault(rule.key, []).append(f"{table.name}.{column.name}")
    return found
