"""Small counts, which could point to someone: only the privacy level sees them (ST-3)."""

from dataclasses import dataclass

from flask_babel import gettext as _

from newsletter.config import settings
from newsletter.web.i18n import format_number, format_share


@dataclass(frozen=True, slots=True)
class Cells:
    """Writes the counts of a breakdown for someone who may see all of them, or not."""

    sees_all: bool

    def hides(self, number: int) -> bool:
        """Tell whether a count must not be given exactly."""
        return not self.sees_all and 0 < number < settings().smallest_cell

    def count(self, number: int) -> str:
        """Write a count for a page."""
        if self.hides(number):
            return str(_("under %(limit)s", limit=settings().smallest_cell))
        return format_number(number)

    def share(self, number: int, base: int) -> str:
        """Write a share for a page; a small part of something is hidden with it."""
        if self.hides(number) or self.hides(base) or self.hides(base - number):
            return "–"
        return format_share(number / base if base else None)

    def exported(self, number: int) -> str:
        """Write a count for a file."""
        return f"<{settings().smallest_cell}" if self.hides(number) else str(number)

    def shown(self, number: int) -> int:
        """Return how large a count may be drawn."""
        return 0 if self.hides(number) else number
