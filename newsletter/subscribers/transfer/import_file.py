"""The CSV file of an import: its validation as a whole, and a reader of its rows.

The whole file is checked before the first row is imported, so an unreadable file changes nothing.
"""

import csv
import hashlib
import io
import os
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from newsletter.errors import N_, NewsletterError
from newsletter.web.csv_output import unescape_formula

REQUIRED_COLUMNS = ("address", "source", "consent_text", "consented_at", "proof")
OPTIONAL_COLUMNS = ("language", "tracking")
#: Additional columns of a rejects file, which can be imported again once its rows are corrected.
REJECT_COLUMNS = ("row", "reason")
KNOWN_COLUMNS = frozenset({*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS, *REJECT_COLUMNS})
#: Maximum bytes of a line and characters of a multi-line row: more means an unclosed quote.
MAX_ROW_LENGTH = 65_536


class FileUnreadable(NewsletterError):
    """The operating system refuses access to the file."""

    message = N_("%(name)s cannot be read or its rejects file cannot be written: %(reason)s.")


class FileEmpty(NewsletterError):
    """The file has no header."""

    message = N_("%(name)s is empty.")


class NotUtf8(NewsletterError):
    """The file is not UTF-8, or not text."""

    message = N_("%(name)s is not UTF-8 (line %(line)s). Save it as CSV UTF-8 and try again.")


class LineTooLong(NewsletterError):
    """A line is longer than MAX_ROW_LENGTH."""

    message = N_("Line %(line)s of %(name)s is too long. Is it a CSV file?")


class ColumnsMissing(NewsletterError):
    """The header lacks required columns."""

    message = N_("%(name)s lacks the columns: %(columns)s.")


class ColumnsUnknown(NewsletterError):
    """The header has unknown or duplicate columns."""

    message = N_("%(name)s has columns that are not known, or twice: %(columns)s.")


@dataclass(frozen=True, slots=True)
class FileLayout:
    """The result of ``inspect_file``."""

    path: Path
    size: int
    #: SHA-256 of its bytes.
    digest: str
    delimiter: str
    columns: tuple[str, ...]
    #: Begins with a UTF-8 byte order mark, which its spreadsheet program needs.
    has_bom: bool

    @property
    def encoding(self) -> str:
        """The encoding of the file and of its rejects file."""
        return "utf-8-sig" if self.has_bom else "utf-8"

    def as_dict(self, cells: list[str]) -> dict[str, str]:
        """Return the cells of a row by column; missing cells are empty."""
        texts = [unescape_formula(cell) for cell in cells] if "reason" in self.columns else cells
        return dict.fromkeys(self.columns, "") | dict(zip(self.columns, texts, strict=False))


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row of the file. ``number`` counts as spreadsheets do: the header is row 1."""

    number: int
    cells: list[str]
    #: True when its quotes do not match; ``cells`` then has its first line only, unparsed.
    is_broken: bool = False


class RowReader:
    """Context manager that iterates over the rows of a file, header first, skipping blank ones.

    An unclosed quote costs its own line only.
    """

    def __init__(self, layout: FileLayout) -> None:
        self._layout = layout
        #: Lines of the row being read, and lines pushed back after a broken row.
        self._taken: list[str] = []
        self._again: deque[str] = deque()

    def __enter__(self) -> Self:
        try:
            self._bytes = self._layout.path.open("rb")
        except OSError as error:
            raise FileUnreadable(name=self._layout.path.name, reason=error.strerror) from error
        self._file = io.TextIOWrapper(self._bytes, encoding=self._layout.encoding, newline="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def position(self) -> int:
        """The number of bytes read so far."""
        return self._bytes.tell()

    def __iter__(self) -> Iterator[CsvRow]:
        number, reader = 0, self._reader()
        while True:
            number += 1
            self._taken.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                first, *others = self._taken
                self._again.extendleft(line for line in reversed(others) if line)
                reader = self._reader()
                yield CsvRow(number, [first.rstrip("\r\n")], is_broken=True)
            else:
                if any(cells):
                    yield CsvRow(number, cells)

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(iter(self._line, ""), delimiter=self._layout.delimiter, strict=True)

    def _line(self) -> str:
        line = self._again.popleft() if self._again else self._file.readline()
        self._taken.append(line)
        if sum(map(len, self._taken)) > MAX_ROW_LENGTH:
            raise csv.Error("a row of this length has lost a quote")
        return line


def inspect_file(path: Path) -> FileLayout:
    """Check a file and return its layout; raise a NewsletterError when it cannot be imported."""
    try:
        size, digest = _check_text(path)
        first = _first_line(path)
    except OSError as error:
        raise FileUnreadable(name=path.name, reason=error.strerror) from error
    if not first.lstrip("\ufeff"):
        raise FileEmpty(name=path.name)
    delimiter, columns = _parse_header(first.removeprefix("\ufeff"))
    _check_columns(path.name, columns)
    return FileLayout(path, size, digest, delimiter, columns, has_bom=first.startswith("\ufeff"))


def _check_text(path: Path) -> tuple[int, str]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_ROW_LENGTH), b""), start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                # A line cut at the limit may end inside a character: it is too long, not badly encoded.
                if len(line) < MAX_ROW_LENGTH:
                    raise NotUtf8(name=path.name, line=number) from error
            if len(line) == MAX_ROW_LENGTH:
                raise LineTooLong(name=path.name, line=number)
            digest.update(line)
        return os.fstat(file.fileno()).st_size, digest.hexdigest()


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as file:
        return file.readline()


def _parse_header(line: str) -> tuple[str, tuple[str, ...]]:
    """Return the delimiter that yields the most known columns, and the columns."""
    read = {delimiter: _parse_columns(line, delimiter) for delimiter in (",", ";")}
    delimiter = max(read, key=lambda each: len(KNOWN_COLUMNS & set(read[each])))
    return delimiter, read[delimiter]


def _parse_columns(line: str, delimiter: str) -> tuple[str, ...]:
    (cells,) = csv.reader([line], delimiter=delimiter)
    columns = [cell.strip().casefold() for cell in cells]
    while columns and not columns[-1]:  # spreadsheets append empty columns
        columns.pop()
    return tuple(columns)


def _check_columns(name: str, columns: Collection[str]) -> None:
    missing = [column for column in REQUIRED_COLUMNS if column not in columns]
    if missing:
        raise ColumnsMissing(name=name, columns=", ".join(missing))
    unseen = set(KNOWN_COLUMNS)
    strange = []
    for column in columns:
        if column in unseen:
            unseen.remove(column)
        else:
            strange.append(column or '""')
    if strange:
        raise ColumnsUnknown(name=name, columns=", ".join(strange))
