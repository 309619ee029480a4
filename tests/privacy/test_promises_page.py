"""``docs/promises.md`` names the tests that keep each promise; here, that every one of them exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| (?!the notice says|---)(.+)\|$", re.MULTILINE)


def test_every_promise_names_tests_that_exist():
    page = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    written = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^(?:async )?def (test_\w+)\(", written, re.MULTILINE))

    rows = [set(re.findall(r"`(test_\w+)`", row)) for row in _ROW.findall(page)]

    assert len(rows) >= 22
    assert [row for row in rows if not row] == []
    assert set().union(*rows) - there == set()
