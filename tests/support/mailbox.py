"""Reads what was sent: the built-in mailbox of an application."""

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

_LINK = re.compile(r"https?://[^\s<>\"]+")


class Mailbox:
    """The mails in a Maildir, in the order in which they were put there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __iter__(self) -> Iterator[EmailMessage]:
        for path in self._paths():
            yield email.message_from_bytes(path.read_bytes(), policy=email.policy.default)

    @property
    def keys(self) -> list[str]:
        """What the mailbox calls each mail."""
        return [path.name for path in self._paths()]

    @property
    def all(self) -> list[EmailMessage]:
        """Every mail."""
        return list(self)

    def to(self, address: str) -> list[EmailMessage]:
        """Return the mails that were handed over for one address."""
        return [message for message in self if message["Delivered-To"] == address]

    @property
    def last(self) -> EmailMessage:
        """The newest mail."""
        return self.all[-1]

    @property
    def subjects(self) -> list[tuple[str, str]]:
        """To whom and with which subject, for comparing with all that was expected."""
        return [(str(message["Delivered-To"]), str(message["Subject"])) for message in self]

    def _paths(self) -> list[Path]:
        return sorted((self._folder / "new").glob("*"), key=_arrival)


def text_of(message: EmailMessage) -> str:
    """Return the plain part."""
    return _part(message, "plain")


def html_of(message: EmailMessage) -> str:
    """Return the HTML part."""
    return _part(message, "html")


def links_of(message: EmailMessage, kind: str) -> list[str]:
    """Return the addresses in a message that lead to a page of a kind, each once.

    A kind is the first part of the path: confirm, cancel, unsubscribe, preferences, o (the
    picture), c (a tracked link) or trap (the link that no person sees).
    """
    return [url for url in every_link(message) if _kind_of(url) == kind]


def _kind_of(url: str) -> str:
    first, *rest = urlsplit(url).path.split("/")[1:] or [""]
    return "trap" if first == "c" and rest[1:] == ["0"] else first


def every_link(message: EmailMessage) -> list[str]:
    """Return the addresses in both parts and in List-Unsubscribe, each once."""
    header = str(message["List-Unsubscribe"] or "").strip("<>")
    found = _LINK.findall(text_of(message)) + _LINK.findall(html_of(message).replace("&amp;", "&"))
    return list(dict.fromkeys([*found, *_LINK.findall(header)]))


def link(message: EmailMessage, kind: str) -> str:
    """Return the one address of a kind."""
    (url,) = links_of(message, kind)
    return url


def token(message: EmailMessage, kind: str) -> str:
    """Return the signed part of the one address of a kind."""
    return urlsplit(link(message, kind)).path.split("/")[2]


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return "" if part is None else str(part.get_content())


def _arrival(path: Path) -> tuple[int, ...]:
    """Read when a mail came from its name: seconds, microseconds, and the number in its process."""
    seconds, unique, *_host = path.name.split(".")
    numbers = re.fullmatch(r"M(\d+)P(\d+)Q(\d+)", unique)
    assert numbers is not None, path.name
    return int(seconds), int(numbers[1]), int(numbers[3])
