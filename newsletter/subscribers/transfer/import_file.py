"""The file of an import: what it must look like as a whole, and its rows one at a time.

The whole file is looked through before anything is taken from it, so one that cannot be read
changes nothing.
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

REQUIRED = ("address", "source", "consent_text", "consented_at", "proof")
OPTIONAL = ("language", "tracking")
#: Columns that a rejects file has besides: once its rows are mended, it can be imported as it is.
REJECTED = ("row", "reason")
KNOWN = frozenset({*REQUIRED, *OPTIONAL, *REJECTED})
#: Bytes of a line, and letters of a row that goes over several: more is a quote that was never closed.
LONGEST = 65_536


class FileUnreadable(NewsletterError):
    """The operating system does not give it to us."""

    message = N_("%(name)s cannot be read or its rejects file cannot be written: %(reason)s.")


class FileEmpty(NewsletterError):
    """There is not even a header."""

    message = N_("%(name)s is empty.")


class NotUtf8(NewsletterError):
    """Another encoding, or no text at all."""

    message = N_("%(name)s is not UTF-8 (line %(line)s). Save it as CSV UTF-8 and try again.")


class LineTooLong(NewsletterError):
    """No row of subscribers is that long."""

    message = N_("Line %(line)s of %(name)s is too long. Is it a CSV file?")


class ColumnsMissing(NewsletterError):
    """The header lacks what every row needs."""

    message = N_("%(name)s lacks the columns: %(columns)s.")


class ColumnsUnknown(NewsletterError):
    """The header has what we would have to drop."""

    message = N_("%(name)s has columns that are not known, or twice: %(columns)s.")


@dataclass(frozen=True, slots=True)
class Layout:
    """What looking through a file found."""

    path: Path
    size: int
    #: SHA-256 of its bytes.
    digest: str
    delimiter: str
    columns: tuple[str, ...]
    #: Written by a spreadsheet that marks UTF-8, and would misread it without the mark.
    has_bom: bool

    @property
    def encoding(self) -> str:
        """The encoding to read it with, and to write its rejects with."""
        return "utf-8-sig" if self.has_bom else "utf-8"

    def named(self, cells: list[str]) -> dict[str, str]:
        """Return the cells of a row by column; what a short row leaves out is empty."""
        texts = [unescape_formula(cell) for cell in cells] if "reason" in self.columns else cells
        return dict.fromkeys(self.columns, "") | dict(zip(self.columns, texts, strict=False))


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it stands in the file, numbered as a spreadsheet does: the header is row 1."""

    number: int
    cells: list[str]
    #: True when its quotes do not match; the cells are then its first line, whole.
    is_broken: bool = False


class Rows:
    """The rows of a file, the header first, blank ones left out.

    A quote that is never closed costs its own line and no other.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        #: Lines of the row being read, and lines given back by a row that was broken.
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
        """How many bytes of the file have been read."""
        return self._bytes.tell()

    def __iter__(self) -> Iterator[Row]:
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
                yield Row(number, [first.rstrip("\r\n")], is_broken=True)
            else:
                if any(cells):
                    yield Row(number, cells)

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(iter(self._line, ""), delimiter=self._layout.delimiter, strict=True)

    def _line(self) -> str:
        line = self._again.popleft() if self._again else self._file.readline()
        self._taken.append(line)
        if sum(map(len, self._taken)) > LONGEST:
            raise csv.Error("a row of this length has lost a quote")
        return line


def examine(path: Path) -> Layout:
    """Look through a file and return what it is; raise a NewsletterError when it cannot be imported."""
    try:
        size, digest = _check_text(path)
        first = _first_line(path)
    except OSError as error:
        raise FileUnreadable(name=path.name, reason=error.strerror) from error
    if not first.lstrip("\ufeff"):
        raise FileEmpty(name=path.name)
    delimiter, columns = _header(first.removeprefix("\ufeff"))
    _check_columns(path.name, columns)
    return Layout(path, size, digest, delimiter, columns, has_bom=first.startswith("\ufeff"))


def _check_text(path: Path) -> tuple[int, str]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST), b""), start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                # A line cut at its longest may end inside a letter: then it is too long, not foreign.
                if len(line) < LONGEST:
                    raise NotUtf8(name=path.name, line=number) from error
            if len(line) == LONGEST:
                raise LineTooLong(name=path.name, line=number)
            digest.update(line)
        return os.fstat(file.fileno()).st_size, digest.hexdigest()


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as file:
        return file.readline()


def _header(line: str) -> tuple[str, tuple[str, ...]]:
    """Return the delimiter under which more columns are known, and the columns."""
    read = {delimiter: _columns(line, delimiter) for delimiter in (",", ";")}
    delimiter = max(read, key=lambda each: len(KNOWN & set(read[each])))
    return delimiter, read[delimiter]


def _columns(line: str, delimiter: str) -> tuple[str, ...]:
    (cells,) = csv.reader([line], delimiter=delimiter)
    columns = [cell.strip().casefold() for cell in cells]
    while columns and not columns[-1]:  # spreadsheets leave empty columns at the end
        columns.pop()
    return tuple(columns)


def _check_columns(name: str, columns: Collection[str]) -> None:
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        raise ColumnsMissing(name=name, columns=", ".join(missing))
    unseen = set(KNOWN)
    strange = []
    for column in columns:
        if column in unseen:
            unseen.remove(column)
        else:
            strange.append(column or '""')
    if strange:
        raise ColumnsUnknown(name=name, columns=", ".join(strange))
