"""The image and compose.yaml, as far as can be told without building one."""

import fnmatch
import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # comes with schemathesis; nobody else needs its types

from newsletter.config import PREFIX, Settings
from newsletter.running.supervisor import STOP_TIMEOUT
from tests.support.server import ROOT


def instructions() -> Iterator[tuple[str, str]]:
    """Yield each instruction of the Dockerfile with its argument, lines put together."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if line.strip():
            name, _space, argument = line.partition(" ")
            yield name, argument.strip()


def of(name: str) -> list[str]:
    return [argument for found, argument in instructions() if found == name]


def stages() -> list[list[tuple[str, str]]]:
    made: list[list[tuple[str, str]]] = []
    for name, argument in instructions():
        if name == "FROM":
            made.append([])
        made[-1].append((name, argument))
    return made


@pytest.fixture
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))


@pytest.fixture
def ours(compose) -> dict[str, dict[str, Any]]:
    return {name: service for name, service in compose["services"].items() if name != "database"}


def test_images_are_named_with_their_version_and_without_a_host(compose):
    images = [argument.split()[0] for argument in of("FROM")]
    images += [service["image"] for service in compose["services"].values()]

    assert images
    for image in images:
        assert re.fullmatch(r"[a-z]+:[0-9][a-z0-9.-]*", image), image


def test_what_builds_stays_out_of_the_image():
    build, final = stages()

    copied = [argument for name, argument in final if name == "COPY"]
    assert copied == ["--from=build /opt/newsletter /opt/newsletter"]
    assert not [argument for name, argument in final if name == "RUN" and "pip install" in argument]
    assert any("--require-hashes" in argument for name, argument in build if name == "RUN")


def test_it_runs_as_nobody_in_particular_and_is_told_of_signals():
    _build, final = stages()
    names = [name for name, _argument in final]

    (user,) = [argument for name, argument in final if name == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)  # a number: Kubernetes' runAsNonRoot can check it
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert json.loads(of("ENTRYPOINT")[0]) == ["newsletter"]  # no shell in between, which would keep TERM
    assert "ADD" not in names


def test_it_writes_to_its_folder_alone():
    (folder,) = of("VOLUME")

    assert f"NEWSLETTER_INSTANCE_PATH={folder}" in " ".join(of("ENV"))
    assert "PYTHONDONTWRITEBYTECODE=1" in of("ENV")[-1]


def test_the_health_check_asks_a_page_that_there_is(client):
    (check,) = of("HEALTHCHECK")
    path = re.search(r"http://127\.0\.0\.1:8000(/\w+)", check)

    assert path
    assert client.get(path[1]).status_code == 200


def test_the_build_is_given_what_it_copies_and_no_more():
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    copied = {word for argument in of("COPY") if "--from" not in argument for word in argument.split()[:-1]}

    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)
    for private in ("instance", ".git", "newsletter.db", "ops/secrets"):
        assert not any(fnmatch.fnmatch(private, name) for name in copied)


def test_containers_of_ours_may_do_nothing_they_need_not(ours):
    for name, service in ours.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert float(service["stop_grace_period"].removesuffix("s")) > STOP_TIMEOUT + 5, name


def test_ports_are_open_to_this_machine_alone(compose):
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]

    assert ports == ["127.0.0.1:8000:8000"]


def test_each_command_is_one_of_ours(ours, app):
    for service in ours.values():
        command, context = app.cli, None
        words = list(service["command"])
        while hasattr(command, "commands") or context is None:
            context = command.make_context("newsletter", words[:1], resilient_parsing=True)
            command = command.get_command(context, words.pop(0))
            assert command is not None, service["command"]
        command.parse_args(command.context_class(command), words)  # raises where an option is unknown


def test_a_worker_starts_after_the_migration_and_nothing_is_asked_of_what_serves_no_pages(ours):
    for name in ("web", "worker"):
        assert ours[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert [name for name, service in ours.items() if service.get("healthcheck") == {"disable": True}] == [
        "migrate",
        "worker",
    ]


def test_the_settings_with_the_secrets_that_are_made_are_enough(ours, compose, tmp_path):
    for _turn in range(2):  # the second changes nothing
        subprocess.run([ROOT / "ops" / "make-secrets", tmp_path / "secrets"], check=True, capture_output=True)
        kept = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    lines = (ROOT / "ops" / "newsletter.env.example").read_text("utf-8").splitlines()
    environ = dict(line.split("=", 1) for line in lines if line.startswith(PREFIX))
    for name, text in ours["web"]["environment"].items():
        environ[name] = text.replace("/run/secrets", str(tmp_path / "secrets"))

    settings = Settings.load(environ | {f"{PREFIX}INSTANCE_PATH": str(tmp_path / "instance")})

    assert made == kept
    assert set(made) == set(compose["secrets"])
    assert settings.database_url.password == made["database_password"].strip()
    assert (settings.proxy_hops, settings.mail_server) == (1, "mail.example")
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
