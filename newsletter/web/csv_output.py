"""CSV output (RFC 4180) that is safe from formula injection in spreadsheets."""

import csv
from collections.abc import Iterable
from typing import Any, Protocol

#: A cell that begins with one of these is taken for a formula by some spreadsheet.
_FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\0")


class _Writable(Protocol):
    def write(self, text: str, /) -> Any: ...  # noqa: ANN401 - each file says something else


class CsvWriter:
    """Writes rows to a text file opened with ``newline=""``."""

    def __init__(self, file: _Writable, delimiter: str = ",") -> None:
        self._writer = csv.writer(file, delimiter=delimiter)

    def write(self, cells: Iterable[str]) -> None:
        """Write one row, with a quote before each cell that a spreadsheet might run."""
        self._writer.writerow([escape_formula(cell) for cell in cells])


def escape_formula(cell: str) -> str:
    """Return a cell as text that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA_PREFIXES) else cell


def unescape_formula(cell: str) -> str:
    """Return a cell without the quote that ``escape_formula`` put there."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA_PREFIXES) else cell
