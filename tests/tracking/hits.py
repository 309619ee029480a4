"""Hits as the gateway writes them, for tests of whatever reads them."""

import json
from datetime import datetime, timedelta
from pathlib import Path

from flask import Flask

from newsletter.stats.rollups.ingest import load_local_logs
from newsletter.tracking.hit_log import HitLog
from tests.support.apps import on_its_own
from tests.support.clock import NOW

THUNDERBIRD = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4"
#: Apple's proxy, which fetches whether or not anybody reads.
APPLE = "Mozilla/5.0"
#: When a person reads: no machine's haste.
LATER = NOW + timedelta(hours=1)


def hit_line(
    edition_id: int,
    subscriber_id: int,
    number: int | None = None,
    *,
    at: datetime = LATER,
    ip: str = "203.0.113.7",
    agent: str = THUNDERBIRD,
) -> bytes:
    """Write one hit: a click on link ``number``, or without one an open."""
    kind = "open" if number is None else "click"
    hit = [int(at.timestamp() * 1000), kind, edition_id, subscriber_id, number, ip, agent]
    return json.dumps(hit, separators=(",", ":")).encode() + b"\n"


def spool_folder(app: Flask) -> Path:
    """Return where an application's hits wait to be loaded."""
    return Path(app.instance_path) / "spool"


def spool_hits(app: Flask, *lines: bytes) -> None:
    """Leave a spool file that a web process has finished with."""
    spool = HitLog(spool_folder(app))
    for line in lines:
        assert spool.append(line)
    spool.close()


def spooled(app: Flask) -> list[list[object]]:
    """Return the hits that wait to be loaded, oldest first."""
    files = sorted(spool_folder(app).glob("*.hits"))
    return [json.loads(line) for path in files for line in path.read_bytes().splitlines()]


def load_hits(app: Flask) -> int:
    """Do what a loader does, after our own commit; return how many hits were read."""
    return on_its_own(app, load_local_logs)
