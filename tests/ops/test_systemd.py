"""The systemd units: systemd itself finds nothing wrong, and they hold what the program needs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from newsletter.config import PREFIX, setting_fields
from newsletter.running.supervisor import STOP_TIMEOUT
from tests.support.missing import lacking
from tests.support.server import ROOT

UNITS = sorted((ROOT / "ops" / "systemd").glob("newsletter*"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]
#: What `systemd-analyze security` may find at most, of 100; an ordinary service has 96.
EXPOSURE = 25
by_name = pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)


def settings_of(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text("utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _sign, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture(scope="module")
def analyze(tmp_path_factory):
    """Ask systemd-analyze about a unit, whose program is put where it is on this machine."""
    program = shutil.which("systemd-analyze")
    if program is None:
        lacking("There is no systemd-analyze here. On Debian: apt install systemd")
    folder = tmp_path_factory.mktemp("units")
    here = Path(sys.executable).with_name("newsletter")
    for path in UNITS:
        text = path.read_text("utf-8").replace("/opt/newsletter/bin/newsletter", str(here))
        (folder / path.name).write_text(text, encoding="utf-8")

    def ask(*words: str, unit: Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [program, *words, str(folder / unit.name)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return ask


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_finds_nothing_wrong(analyze, unit):
    done = analyze("verify", "--man=no", unit=unit)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@by_name
def test_it_is_exposed_to_little(analyze, unit):
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", unit=unit)

    assert done.returncode == 0, done.stdout.splitlines()[-1:]


@by_name
def test_it_may_write_to_its_own_folders_alone(unit):
    found = settings_of(unit)

    assert found["ProtectSystem"] == ["strict"]
    assert found["NoNewPrivileges"] == ["yes"]
    assert found["StateDirectory"] == ["newsletter"]
    assert found["UMask"] == ["0077"]
    assert found["User"] == ["newsletter"]
    assert found.get("ReadWritePaths", []) == (
        ["/var/backups/newsletter"] if unit.stem == "newsletter-backup" else []
    )
    assert "NEWSLETTER_INSTANCE_PATH=/var/lib/newsletter" in found["Environment"][0]


@by_name
def test_secrets_come_as_credentials(unit):
    found = settings_of(unit)
    files = dict(re.findall(r"NEWSLETTER_(\w+)_FILE=%d/(\w+)", unit.read_text("utf-8")))
    credentials = re.findall(r"LoadCredential=(\w+):/etc/newsletter/(\w+)", unit.read_text("utf-8"))
    secrets = {item.name.upper() for item in setting_fields() if item.metadata["secret"]}

    assert set(files) == {"SECRET_KEY", "SUPPRESSION_KEY", "DATABASE_URL", "MAIL_PASSWORD"} <= secrets
    assert sorted(files.values()) == sorted(name for name, _file in credentials)
    assert not [line for line in found["Environment"] if re.search("(KEY|PASSWORD)=", line)]


@by_name
def test_each_setting_is_one_that_there_is(unit):
    known = {PREFIX + item.name.upper() for item in setting_fields()}
    named = set(re.findall(r"(NEWSLETTER_\w+?)(?:_FILE)?=", unit.read_text("utf-8")))

    assert named
    assert named <= known


@pytest.mark.parametrize("name", ["newsletter", "newsletter-web", "newsletter-worker"])
def test_a_stop_waits_for_the_mail_under_way(name):
    found = settings_of(ROOT / "ops" / "systemd" / f"{name}.service")

    assert float(found["TimeoutStopSec"][0]) > STOP_TIMEOUT + 5
    assert found["KillMode"] == ["mixed"]
    assert found["Restart"] == ["always"]


@by_name
def test_its_command_is_one_of_ours(unit, app):
    (command,) = re.findall(r"/opt/newsletter/bin/newsletter (\w+)", unit.read_text("utf-8"))

    assert command in app.cli.commands
