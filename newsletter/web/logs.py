"""Set-up of structured logging: fixed event names and ids; never an address, an IP, a token or a body."""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

#: A cause shows its traceback once in so many seconds.
REPEAT_SECONDS = 60.0
#: So many causes are remembered at once.
_MOST_CAUSES = 200
#: What stands first in a line of logfmt.
_KEYS = ("timestamp", "level", "logger", "event")


def configure(level: int | str = logging.INFO, form: str = "auto") -> None:
    """Send the log to stderr, as ``text``, ``json`` or ``logfmt``.

    By itself it is text on a terminal, and JSON where another program reads it.
    """
    pre_chain: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    on_terminal = sys.stderr.isatty()
    if form == "auto":
        form = "text" if on_terminal else "json"
    last: Mapping[str, list[Processor]] = {
        "text": [structlog.dev.ConsoleRenderer(colors=on_terminal)],
        "json": [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        "logfmt": [
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=_KEYS, drop_missing=True),
        ],
    }
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=pre_chain,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                OneTracebackAMinute(),
                *last[form],
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper() if isinstance(level, str) else level)
    # These tell of each request and each query, addresses and tokens with them.
    for name in (
        "sqlalchemy.engine",
        "werkzeug",
        "granian.access",
        "huey",
        "alembic",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)


class OneTracebackAMinute:
    """Leave out a traceback whose like was logged within the minute; every line says its cause.

    While a database is away each request fails alike: the first traceback explains it, and hundreds of
    them a second fill the disk. The causes are one if the exception is and where it was raised.
    """

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._shown: dict[str, float] = {}

    def __call__(self, _logger: object, _method: str, entry: EventDict) -> EventDict:
        """Judge one line, as structlog asks its processors to."""
        error = _exception_of(entry.get("exc_info"))
        if error is None:
            return entry
        cause = _cause_of(error)
        entry["cause"] = cause
        now = self._seconds()
        if now - self._shown.get(cause, now - REPEAT_SECONDS) < REPEAT_SECONDS:
            del entry["exc_info"]
            return entry
        if len(self._shown) >= _MOST_CAUSES:
            self._shown = {kept: at for kept, at in self._shown.items() if now - at < REPEAT_SECONDS}
        if len(self._shown) < _MOST_CAUSES:
            self._shown[cause] = now
        return entry


def _exception_of(info: Any) -> BaseException | None:  # noqa: ANN401 - whatever logging was given
    if isinstance(info, tuple):
        error: BaseException | None = info[1]
        return error
    if isinstance(info, BaseException):
        return info
    return sys.exc_info()[1] if info else None


def _cause_of(error: BaseException) -> str:
    """Name the kind of an exception and the line that raised it; its text may tell of a person."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = f"{at.tb_frame.f_globals.get('__name__', '?')}:{at.tb_lineno}" if at else "?"
    return f"{type(error).__name__} at {place}"
