"""The instance folder: settings file, keys made at the first start, and the saved base URL."""

import os
import secrets
import tomllib
from contextlib import suppress
from pathlib import Path

from newsletter.config import parsers
from newsletter.errors import StartRefused


def prepare(instance: Path) -> None:
    """Make the folder; raise StartRefused when it cannot be used."""
    try:
        instance.mkdir(mode=0o700, parents=True, exist_ok=True)  # personal data and keys
    except OSError as error:
        raise StartRefused(
            reason=f"The instance folder {instance} cannot be made: {error.strerror}."
        ) from error
    if not os.access(instance, os.W_OK | os.X_OK):
        raise StartRefused(reason=f"The instance folder {instance} cannot be written to.")


def read_settings_file(path: Path, problems: list[str]) -> dict[str, str]:
    """Return the text of each setting in the file, by its name in the environment without the prefix."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(f"{path.name}: cannot be read: {error}")
        return {}
    texts = {}
    for name, value in table.items():
        if isinstance(value, list):
            texts[name.upper()] = ",".join(map(str, value))
        else:
            texts[name.upper()] = str(value).lower() if isinstance(value, bool) else str(value)
    return texts


def read_secret_file(path: Path) -> str:
    """Return the secret a file holds, without the end of its line; raise ValueError, never quoting it."""
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text") from None
    if not text.strip():
        raise ValueError(f"{path} is empty")
    return text


def save_base_url(instance: Path, url: str) -> None:
    """Save the address ``run`` serves on, so that other commands write the same links into mails."""
    (instance / "base_url").write_text(url + "\n", encoding="utf-8")


def load_base_url(instance: Path) -> str:
    """Return the address that ``run`` was last served on."""
    with suppress(OSError, ValueError):
        return parsers.base_url((instance / "base_url").read_text(encoding="utf-8").strip())
    return "http://127.0.0.1:8000"


def load_or_create_key(path: Path) -> str:
    """Return the key kept in a file that only its owner can read, making it at first start."""
    with suppress(FileNotFoundError):
        return path.read_text(encoding="ascii").strip()
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:  # root is told only when it tries
        raise StartRefused(reason=f"The instance folder {path.parent} cannot be written to.") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
    # A link either appears whole or not at all, so two first starts agree on one key.
    with suppress(FileExistsError):
        os.link(fresh, path)
    fresh.unlink()
    return path.read_text(encoding="ascii").strip()
