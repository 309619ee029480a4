"""What comes from others is named with its version, checksum and licence, and goes along with the program."""

import hashlib
import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.support.server import ROOT

VENDOR = ROOT / "newsletter" / "static" / "vendor"
NOTICES = (ROOT / "THIRD_PARTY.md").read_text("utf-8")
ROWS = re.findall(r"^\| ([\w.-]+)[^|]*\| ([^|]+) \| ([^|]+) \| (`.+) \|$", NOTICES, re.MULTILINE)
FOLDERS = sorted(path for path in VENDOR.iterdir() if path.is_dir())


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_each_asset_has_version_checksums_and_licence(folder):
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    found = {
        str(path.relative_to(folder)): checksum(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    named = [row for row in ROWS if f"`newsletter/static/vendor/{folder.name}`" in row[3]]

    assert found == {name: file["sha256"] for name, file in manifest["files"].items()}
    assert re.fullmatch("[0-9a-f]{64}", manifest["package_sha256"])
    assert [row[:3] for row in named] == [(manifest["name"], manifest["version"], manifest["licence"])]
    assert any(name.upper().startswith("LICEN") for name in found)


def test_nothing_is_vendored_beside_the_folders_that_are_named():
    assert [path for path in VENDOR.iterdir() if path.is_file()] == []
    minified = [path for path in (ROOT / "newsletter").rglob("*.min.*") if VENDOR not in path.parents]
    assert minified == []


def test_each_path_of_the_page_is_there_and_what_it_says():
    for _name, _version, _licence, where in ROWS:
        (place,) = re.findall(r"`(newsletter/[^`]+)`", where)
        path = ROOT / place
        assert path.exists(), place
        if path.is_file():
            assert re.findall("sha256 `([0-9a-f]{64})`", where) == [checksum(path)]


def test_the_notices_go_along_in_sdist_wheel_and_image():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    image = (ROOT / "Dockerfile").read_text("utf-8")

    assert project["license-files"] == ["LICENSE", "THIRD_PARTY.md"]
    assert "THIRD_PARTY.md" in image
