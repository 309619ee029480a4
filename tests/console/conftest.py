"""Runs commands: inside the test's application, and as the real program."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask.testing import FlaskCliRunner

from newsletter.config import PREFIX
from tests.support.apps import on_its_own
from tests.support.server import ROOT

Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def newsletter(app) -> Callable[..., Result]:
    """Run a command on the test's database: ``newsletter("lists", "show")``."""

    def run(*arguments: object) -> Result:
        words = [str(argument) for argument in arguments]
        return on_its_own(app, lambda: FlaskCliRunner(app).invoke(args=words))

    return run


@pytest.fixture
def as_json(newsletter) -> Callable[..., Any]:
    """Run a command with ``--json`` and return what it printed, parsed."""

    def run(*arguments: object) -> Any:
        result = newsletter(*arguments, "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        return json.loads(result.stdout)

    return run


@pytest.fixture
def start_program(tmp_path) -> Program:
    """Run the program itself, in a process of its own with an instance folder of its own."""

    def start(
        *arguments: str, prefix: tuple[str, ...] = (), **settings: str
    ) -> "subprocess.CompletedProcess[str]":
        ours = {"INSTANCE_PATH": str(tmp_path / "instance")} | settings
        others = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
        return subprocess.run(
            [*prefix, sys.executable, "-m", "newsletter", *arguments],
            env=others | {"PYTHONPATH": str(ROOT)} | {PREFIX + name: text for name, text in ours.items()},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return start


@pytest.fixture
def letter(tmp_path) -> Path:
    """A newsletter as somebody wrote it."""
    path = tmp_path / "kirje.md"
    path.write_text("Hei!\n\n[Lue lisää](https://www.kirjakauppa.example/uutiset)\n", encoding="utf-8")
    return path
