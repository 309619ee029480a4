"""Networks of mail relays and link scanners, from files that the operator supplies.

A file is CSV whose first column is a network or an address; other columns are not looked at, so
Apple's own list of relay addresses can be used as it is. A file that changes is read again.
"""

import csv
import ipaddress
import logging
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from newsletter.errors import StartRefused

log = logging.getLogger(__name__)

#: IPv4 addresses stand in front of the IPv6 ones, as numbers of one line.
_V6_OFFSET = 1 << 33


class RangesUnreadable(StartRefused):
    """A file of networks cannot be read, or a line of it is no network."""


class Ranges:
    """Networks merged into sorted spans, so that looking an address up is one bisection."""

    def __init__(self, spans: list[tuple[int, int]]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted(spans):
            if self._ends and start <= self._ends[-1] + 1:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)

    def __contains__(self, ip: str) -> bool:
        number = _ip_number(ip)
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number <= self._ends[at]


class Networks:
    """Both files of the settings; an empty name is an empty file."""

    def __init__(self, relays: Ranges, scanners: Ranges) -> None:
        self._relays, self._scanners = relays, scanners

    @classmethod
    def of(cls, relay_file: str, scanner_file: str) -> "Networks":
        """Read both files, or take them from memory while they have not changed."""
        return cls(_ranges_of(relay_file), _ranges_of(scanner_file))

    def is_relay(self, ip: str) -> bool:
        """Tell whether mail programs fetch pictures through this address."""
        return ip in self._relays

    def is_scanner(self, ip: str) -> bool:
        """Tell whether a link scanner works from this address."""
        return ip in self._scanners


def read_ranges(path: Path) -> Ranges:
    """Read a file; raise RangesUnreadable naming what is wrong."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return Ranges(list(_spans(file, path)))
    except OSError as error:
        raise RangesUnreadable(reason=f"{path} cannot be read: {error.strerror}.") from error


def _spans(lines: Iterator[str], path: Path) -> Iterator[tuple[int, int]]:
    for number, row in enumerate(csv.reader(lines), start=1):
        cell = row[0].strip() if row else ""
        if not cell or cell.startswith("#") or (number == 1 and not cell[0].isdigit() and ":" not in cell):
            continue
        try:
            network = ipaddress.ip_network(cell, strict=False)
        except ValueError as error:
            raise RangesUnreadable(reason=f"{path}, line {number}: {cell[:60]} is no network.") from error
        base = _V6_OFFSET if network.version == 6 else 0  # noqa: PLR2004 - IPv6
        first = base + int(network.network_address)
        yield first, first + network.num_addresses - 1


def _ranges_of(name: str) -> Ranges:
    if not name:
        return Ranges([])
    path = Path(name)
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise RangesUnreadable(reason=f"{path} cannot be read: {error.strerror}.") from error
    return _read_cached(path, changed)


@lru_cache(maxsize=4)
def _read_cached(path: Path, _changed: int) -> Ranges:
    ranges = read_ranges(path)
    log.info("ranges read", extra={"file": path.name})
    return ranges


@lru_cache(maxsize=10_000)
def _ip_number(ip: str) -> int:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return -1
    return int(address) + (_V6_OFFSET if address.version == 6 else 0)  # noqa: PLR2004 - IPv6
