"""The return path: each mail has an envelope sender of its own (VERP), so what comes back says whose it was.

``bounce+b<token>@news.example``: the token names the mail and is signed, so nobody can report on a
mail they have not seen. It is hexadecimal because some servers write everything in lower case. With
the letter ``u`` it is the address to leave by mail, signed for that alone.
"""

import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass

from flask import current_app

from newsletter.config import Settings, settings
from newsletter.mail.message import sender_address

#: Stands for a campaign's number in the return path of a mail of the outbox.
OUTBOX = 0
#: The letters before a token: what comes to such an address has come back, or wants to leave.
BACK, LEAVE = "b", "u"
#: The longest part before the tag that leaves room for it (RFC 5321, 4.5.3.1.1).
LONGEST_LOCAL = 22
_NUMBERS, _SIGNATURE = 8, 12
_TAG = re.compile(r"\+([bu])([0-9a-f]{40})(?![0-9a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sent:
    """A mail of ours: a campaign's copy to a subscriber, or a mail of the outbox by its number."""

    campaign_id: int
    number: int


class ReturnPaths:
    """Makes and reads return paths: holds the keys, and what is the same in all of them."""

    def __init__(self, chosen: Settings) -> None:
        keys = (chosen.secret_key, *chosen.secret_key_fallbacks)
        self._keys = [hmac.digest(key.encode(), b"newsletter return path", "sha256") for key in keys]
        self._plain = sender_address(chosen)
        base = self._plain if chosen.bounce_address in {"", "off"} else chosen.bounce_address
        local, _at, self._domain = base.rpartition("@")
        self._local = local
        self._has_tags = chosen.bounce_address != "off" and len(local) <= LONGEST_LOCAL
        self._is_read = "@" in chosen.bounce_address
        #: The address without any tag, where complaints of a feedback loop may come.
        self.base = base

    def of(self, campaign_id: int, number: int) -> str:
        """Return the envelope sender of a mail."""
        if not self._has_tags:
            return self._plain
        return f"{self._local}+{BACK}{self._token(BACK, campaign_id, number)}@{self._domain}"

    def leave_token(self, campaign_id: int, number: int) -> bytes:
        """Return what makes ``leave_address`` this copy's own."""
        return self._token(LEAVE, campaign_id, number).encode("ascii")

    def leave_address(self, token: str) -> str | None:
        """Return the address to leave by mail; None where nobody has said that one is read."""
        return f"{self._local}+{LEAVE}{token}@{self._domain}" if self._is_read else None

    def find(self, text: str) -> Iterator[tuple[str, Sent]]:
        """Yield letter and mail of each genuine token in a text; forged ones are passed over."""
        for letter, token in _TAG.findall(text):
            found = self._read(letter.lower(), bytes.fromhex(token))
            if found is not None:
                yield letter.lower(), found

    def _token(self, letter: str, campaign_id: int, number: int) -> str:
        numbers = campaign_id.to_bytes(4) + number.to_bytes(4)
        return (numbers + _sign(self._keys[0], letter, numbers)).hex()

    def _read(self, letter: str, token: bytes) -> Sent | None:
        numbers, signature = token[:_NUMBERS], token[_NUMBERS:]
        if not any(hmac.compare_digest(_sign(key, letter, numbers), signature) for key in self._keys):
            return None
        return Sent(int.from_bytes(numbers[:4]), int.from_bytes(numbers[4:]))


def return_paths() -> ReturnPaths:
    """Return the application's own, made once."""
    kept = current_app.extensions
    if "newsletter.return_paths" not in kept:
        kept["newsletter.return_paths"] = ReturnPaths(settings())
    found: ReturnPaths = kept["newsletter.return_paths"]
    return found


def _sign(key: bytes, letter: str, numbers: bytes) -> bytes:
    return hmac.digest(key, letter.encode("ascii") + numbers, "sha256")[:_SIGNATURE]
