"""The rows an import did not take, in a file beside its own, to be mended and imported again."""

import os
from types import TracebackType
from typing import Self

from newsletter.subscribers.transfer.import_file import FileUnreadable, Layout, Row
from newsletter.web.csv_output import CsvWriter


class Rejects:
    """A file of rejected rows, written as the original is; it vanishes when there are none."""

    def __init__(self, layout: Layout) -> None:
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

    def write(self, row: Row, reason: str) -> None:
        """Write down a row and why it was not taken."""
        self.count += 1
        # A broken row has no cells to tell apart: its line goes behind the last column.
        cells = [] if row.is_broken else row.cells
        texts = self._layout.named(cells)
        surplus = row.cells if row.is_broken else row.cells[len(self._layout.columns) :]
        columns = (texts[column] for column in self._others)
        self._writer.write([str(row.number), texts["address"], reason, *columns, *surplus])
