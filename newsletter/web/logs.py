"""Set-up of structured logging: fixed event names and ids; never an address, an IP, a token or a body."""

import logging
import sys

import structlog


def configure(level: int = logging.INFO) -> None:
    """Send the log to stderr: readable on a terminal, JSON when another program reads it."""
    pre_chain: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    on_terminal = sys.stderr.isatty()
    last: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if on_terminal
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=pre_chain,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # These tell of each request and each query, addresses and tokens with them.
    for name in (
        "sqlalchemy.engine",
        "werkzeug",
        "granian.access",
        "huey",
        "alembic",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
