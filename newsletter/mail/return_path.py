"""Return paths (VERP): each mail has an envelope sender of its own, so a bounce says whose mail it was.

``bounce+b<token>@news.example``: the token names the mail and is signed, so nobody can report on a
mail they have not seen. It is hexadecimal because some servers write everything in lower case. With
the letter ``u`` it is the mailto address of List-Unsubscribe, signed for that alone.
"""

import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass

from flask import current_app

from newsletter.config import Settings, current_settings
from newsletter.mail.message import sender_address

#: Stands for a campaign's number in the return path of a mail of the outbox.
OUTBOX_CAMPAIGN = 0
#: The letters before a token: mail to such an address is a bounce, or a wish to unsubscribe.
BOUNCE_TAG, UNSUBSCRIBE_TAG = "b", "u"
#: The longest part before the tag that leaves room for it (RFC 5321, 4.5.3.1.1).
MAX_LOCAL_PART = 22
_NUMBER_BYTES, _SIGNATURE_BYTES = 8, 12
_TAG = re.compile(r"\+([bu])([0-9a-f]{40})(?![0-9a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SentMail:
    """A mail of ours: a delivery (campaign and subscriber), or a mail of the outbox by its id."""

    campaign_id: int
    number: int


class ReturnPaths:
    """Makes and reads return paths with the keys of the settings."""

    def __init__(self, chosen: Settings) -> None:
        keys = (chosen.secret_key, *chosen.secret_key_fallbacks)
        self._keys = [hmac.digest(key.encode(), b"newsletter return path", "sha256") for key in keys]
        self._plain = sender_address(chosen)
        base = self._plain if chosen.bounce_address in {"", "off"} else chosen.bounce_address
        local, _at, self._domain = base.rpartition("@")
        self._local = local
        self._has_tags = chosen.bounce_address != "off" and len(local) <= MAX_LOCAL_PART
        self._is_read = "@" in chosen.bounce_address
        #: The address without any tag, where complaints of a feedback loop may come.
        self.base = base

    def of(self, campaign_id: int, number: int) -> str:
        """Return the envelope sender of a mail."""
        if not self._has_tags:
            return self._plain
        return f"{self._local}+{BOUNCE_TAG}{self._token(BOUNCE_TAG, campaign_id, number)}@{self._domain}"

    def unsubscribe_token(self, campaign_id: int, number: int) -> bytes:
        """Return the token of ``unsubscribe_address`` for one delivery."""
        return self._token(UNSUBSCRIBE_TAG, campaign_id, number).encode("ascii")

    def unsubscribe_address(self, token: str) -> str | None:
        """Return the address for unsubscribing by mail; None where no mailbox is read."""
        return f"{self._local}+{UNSUBSCRIBE_TAG}{token}@{self._domain}" if self._is_read else None

    def find(self, text: str) -> Iterator[tuple[str, SentMail]]:
        """Yield letter and mail of each genuine token in a text; forged ones are passed over."""
        for letter, token in _TAG.findall(text):
            found = self._read(letter.lower(), bytes.fromhex(token))
            if found is not None:
                yield letter.lower(), found

    def _token(self, letter: str, campaign_id: int, number: int) -> str:
        numbers = campaign_id.to_bytes(4) + number.to_bytes(4)
        return (numbers + _sign(self._keys[0], letter, numbers)).hex()

    def _read(self, letter: str, token: bytes) -> SentMail | None:
        numbers, signature = token[:_NUMBER_BYTES], token[_NUMBER_BYTES:]
        if not any(hmac.compare_digest(_sign(key, letter, numbers), signature) for key in self._keys):
            return None
        return SentMail(int.from_bytes(numbers[:4]), int.from_bytes(numbers[4:]))


def return_paths() -> ReturnPaths:
    """Return the instance of the running application, made once."""
    kept = current_app.extensions
    if "newsletter.return_paths" not in kept:
        kept["newsletter.return_paths"] = ReturnPaths(current_settings())
    found: ReturnPaths = kept["newsletter.return_paths"]
    return found


def _sign(key: bytes, letter: str, numbers: bytes) -> bytes:
    return hmac.digest(key, letter.encode("ascii") + numbers, "sha256")[:_SIGNATURE_BYTES]
