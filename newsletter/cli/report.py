"""Decorator for commands: ``--json`` output, one line for an error, exit codes.

Exit 0 done, 1 refused (NewsletterError), 2 wrong usage.
"""

import functools
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from newsletter.db import db
from newsletter.errors import NewsletterError


class CommandRefused(click.ClickException):
    """A NewsletterError as click shows it: one line, exit 1."""

    exit_code = 1

    def __init__(self, error: NewsletterError) -> None:
        super().__init__(str(error))  # the console speaks English, whatever the pages speak


def report(
    command: Callable[..., tuple[object, str] | tuple[object, str, int] | None],
) -> Callable[..., None]:
    """Print what a command returns, (data, text): the text, or the data with ``--json``.

    A third part is the exit code. One that returns None has printed all there is itself.

    A NewsletterError becomes one line and exit 1; what the command had not committed is undone.
    """

    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @with_appcontext
    @functools.wraps(command)
    def run(*args: Any, as_json: bool, **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        try:
            done = command(*args, **kwargs)
        except NewsletterError as error:
            db.session.rollback()
            raise CommandRefused(error) from error
        if done is not None:
            data, text, *code = done
            click.echo(json.dumps(data, ensure_ascii=False, default=str) if as_json else text)
            if code:
                sys.exit(code[0])

    return run


def write_private_file(path: Path, pieces: Iterable[str]) -> None:
    """Write personal data to a file with mode 0600; raise FileError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise click.FileError(str(path), hint=error.strerror) from error
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        os.fchmod(descriptor, 0o600)  # it may have been there before
        file.writelines(pieces)
