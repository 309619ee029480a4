"""A small disk for one test, which can be full: memory that is mounted as one.

Mounting is for root, and in many containers not even for root.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres import clear_away

_PREFIX = "newsletter-disk-"
_PAGE = 4096


class CannotMount(Exception):
    """This is not root, or not one that may mount."""


class SmallDisk:
    """A disk of so many bytes at a folder."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self._size = folder, size
        folder.mkdir()
        try:
            _mount("-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", folder)
        except CannotMount:
            folder.rmdir()
            raise

    @property
    def free(self) -> int:
        """How many bytes there is room for."""
        return shutil.disk_usage(self.folder).free

    def fill(self) -> None:
        """Leave no room for a single page more."""
        for _try in range(50):
            used = -(-shutil.disk_usage(self.folder).used // _PAGE) * _PAGE
            try:
                _mount("-o", f"remount,size={used}", self.folder)
            except CannotMount:  # somebody wrote meanwhile
                time.sleep(0.01)
            else:
                return
        raise AssertionError("the disk fills faster than we look")

    def make_room(self) -> None:
        """Give back all the room there was."""
        _mount("-o", f"remount,size={self._size}", self.folder)

    def remove(self) -> None:
        """Take it away, with all that is on it and a PostgreSQL that uses it."""
        clear_away(self.folder)
        # Lazily: what still holds a file open there ends in a moment.
        subprocess.run(["umount", "--lazy", self.folder], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def small_disk(size: int) -> Iterator[SmallDisk]:
    """Have a disk of so many bytes; raise CannotMount where that cannot be had."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    folder.chmod(0o755)  # PostgreSQL runs as another user
    try:
        disk = SmallDisk(folder / "disk", size)
        try:
            yield disk
        finally:
            disk.remove()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _mount(*options: str | Path) -> None:
    try:
        subprocess.run(["mount", *options], check=True, capture_output=True)
    except (subprocess.CalledProcessError, OSError) as error:
        said = getattr(error, "stderr", b"") or str(error).encode()
        raise CannotMount(said.decode("utf-8", "replace").strip()) from error
