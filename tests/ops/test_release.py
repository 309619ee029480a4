"""``make release``: files with checksums and a tag, or one sentence and nothing."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.server import ROOT

Release = Callable[[], "subprocess.CompletedProcess[str]"]
CHANGELOG = """# Changelog

## [Unreleased]

## [0.3.0] - 2026-12-01

### Added

- Something for `everybody`.

## [0.2.0] - 2026-11-01

- Something else.
"""
#: What the build of this small project does.
MAKEFILE = """build:
\trm -rf dist; mkdir dist
\techo one > dist/newsletter-0.3.0.tar.gz
\techo two > dist/newsletter-0.3.0-py3-none-any.whl
\techo three > "dist/what is in it.cdx.json"
"""


def git(folder: Path, *words: str) -> str:
    person = [
        "-c",
        "user.name=Meri",
        "-c",
        "user.email=meri@kirjakauppa.example",
        "-c",
        "commit.gpgsign=false",
    ]
    done = subprocess.run(["git", *person, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path) -> Path:
    """A small project whose build takes no time, all of it committed."""
    folder = tmp_path / "project"
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "release", folder / ".ci")
    files = {
        "pyproject.toml": '[project]\nname = "newsletter"\nversion = "0.3.0"\n\n[tool.x]\nversion = "9"\n',
        "CHANGELOG.md": CHANGELOG,
        "Makefile": MAKEFILE,
        ".gitignore": "/dist/\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "all: begin")
    return folder


@pytest.fixture
def release(project) -> Release:
    def run() -> "subprocess.CompletedProcess[str]":
        names = {f"GIT_{role}_{what}" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        person = dict.fromkeys(names, "meri@kirjakauppa.example")
        return subprocess.run(
            [project / ".ci" / "release"],
            cwd=project,
            env=os.environ | person | {"GIT_CONFIG_GLOBAL": os.devnull},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def test_it_makes_checksums_of_all_that_was_built_and_the_tag(project, release):
    done = release()

    assert (done.returncode, done.stderr) == (0, "")
    names = [line.split(maxsplit=1)[1] for line in (project / "dist" / "SHA256SUMS").read_text().splitlines()]
    assert names == [
        "newsletter-0.3.0-py3-none-any.whl",
        "newsletter-0.3.0.tar.gz",
        "what is in it.cdx.json",
    ]
    assert git(project, "rev-parse", "v0.3.0^{commit}") == git(project, "rev-parse", "HEAD")
    message = git(project, "tag", "--list", "--format=%(contents)", "v0.3.0")
    assert message == "newsletter 0.3.0\n\n### Added\n\n- Something for `everybody`."


def refusal(release: Release, project: Path) -> str:
    done = release()
    assert done.returncode == 1
    assert not (project / "dist").exists()
    return done.stderr


def test_what_is_not_committed_is_refused(project, release):
    (project / "new.py").write_text("")

    assert refusal(release, project) == "release: something is not committed: git status\n"
    assert git(project, "tag") == ""


def test_a_version_that_has_its_tag_is_refused(project, release):
    git(project, "tag", "v0.3.0")

    expected = "release: v0.3.0 is there; raise the version in pyproject.toml\n"
    assert refusal(release, project) == expected


def test_a_version_that_the_changelog_lacks_is_refused(project, release):
    (project / "CHANGELOG.md").write_text(CHANGELOG.replace("[0.3.0] - 2026-12-01", "[0.3.0]"))
    git(project, "commit", "-aqm", "changelog: forget the day")

    assert "CHANGELOG.md has no entries" in refusal(release, project)


def test_a_build_that_makes_no_wheel_ends_without_a_tag(project, release):
    (project / "Makefile").write_text(MAKEFILE.replace("py3-none-any.whl", "other.whl"))
    git(project, "commit", "-aqm", "build: forget the wheel")

    done = release()

    assert done.stderr == "release: the build made no newsletter-0.3.0-py3-none-any.whl\n"
    assert git(project, "tag") == ""


def test_this_version_has_its_entries():
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    version = next(
        line
        for line in (ROOT / "pyproject.toml").read_text("utf-8").splitlines()
        if line.startswith("version")
    ).split('"')[1]

    assert f"## [{version}] - 20" in changelog
