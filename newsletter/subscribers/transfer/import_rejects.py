"""The rejects file of an import: rows that were not imported, to be corrected and imported again."""

import os
from types import TracebackType
from typing import Self

from newsletter.subscribers.transfer.import_file import CsvRow, FileLayout, FileUnreadable
from newsletter.web.csv_output import CsvWriter


class RejectsFile:
    """Context manager that writes the rejects file; it is removed when it has no rows."""

    def __init__(self, layout: FileLayout) -> None:
        self._layout = layout
        self._others = [column for column in layout.columns if column not in {"row", "address", "reason"}]
        self.path = layout.path.with_name(f"{layout.path.stem}.rejects.csv")
        self.count = 0

    def __enter__(self) -> Self:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise FileUnreadable(name=self._layout.path.name, reason=error.strerror) from error
        self._file = os.fdopen(descriptor, "w", encoding=self._layout.encoding, newline="")
        self._writer = CsvWriter(self._file, self._layout.delimiter)
        self._writer.write(["row", "address", "reason", *self._others])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if not self.count:
            self.path.unlink(missing_ok=True)

    def write(self, row: CsvRow, reason: str) -> None:
        """Append a row and the reason for its rejection."""
        self.count += 1
        # A broken row has no cells: its line goes after the last column.
        cells = [] if row.is_broken else row.cells
        texts = self._layout.as_dict(cells)
        surplus = row.cells if row.is_broken else row.cells[len(self._layout.columns) :]
        columns = (texts[column] for column in self._others)
        self._writer.write([str(row.number), texts["address"], reason, *columns, *surplus])
