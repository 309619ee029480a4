"""CSV as RFC 4180 has it, which a spreadsheet opens without carrying anything out."""

import csv
from collections.abc import Iterable
from typing import Any, Protocol

#: A cell that begins with one of these is a formula, or hides one, to some spreadsheet.
_RISKY = ("=", "+", "-", "@", "\t", "\r", "\0")


class _Writable(Protocol):
    def write(self, text: str, /) -> Any: ...  # noqa: ANN401 - each file says something else


class CsvWriter:
    """Writes rows to a text file opened with ``newline=""``."""

    def __init__(self, file: _Writable, delimiter: str = ",") -> None:
        self._writer = csv.writer(file, delimiter=delimiter)

    def write(self, cells: Iterable[str]) -> None:
        """Write one row, a quote before each cell that a spreadsheet might run."""
        self._writer.writerow([guarded(cell) for cell in cells])


def guarded(cell: str) -> str:
    """Return a cell as text that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_RISKY) else cell


def unguarded(cell: str) -> str:
    """Return a cell without the quote that ``guarded`` put there."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_RISKY) else cell
