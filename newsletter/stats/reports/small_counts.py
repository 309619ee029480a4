"""Masking of small counts, which could identify someone: only the privacy level sees them (ST-3)."""

from dataclasses import dataclass

from flask_babel import gettext as _

from newsletter.config import current_settings
from newsletter.web.i18n import format_number, format_share


@dataclass(frozen=True, slots=True)
class CountMasker:
    """Formats the counts of a breakdown, masking small ones for readers who may not see them."""

    sees_all: bool

    def hides(self, number: int) -> bool:
        """Tell whether a count is masked."""
        return not self.sees_all and 0 < number < current_settings().smallest_cell

    def count(self, number: int) -> str:
        """Format a count for a page."""
        if self.hides(number):
            return str(_("under %(limit)s", limit=current_settings().smallest_cell))
        return format_number(number)

    def share(self, number: int, base: int) -> str:
        """Format a share for a page; masked if the part or its complement is."""
        if self.hides(number) or self.hides(base) or self.hides(base - number):
            return "–"
        return format_share(number / base if base else None)

    def for_export(self, number: int) -> str:
        """Format a count for a file."""
        return f"<{current_settings().smallest_cell}" if self.hides(number) else str(number)

    def for_chart(self, number: int) -> int:
        """Return a count for a chart: 0 if masked."""
        return 0 if self.hides(number) else number
