"""Signed links: one purpose, one salt.

A token carries a few packed numbers and their signature. It holds nothing to look up and nothing
personal; a token made for one purpose is worthless for another, because each purpose signs with a
key of its own, derived from SECRET_KEY. Tokens made with a key in SECRET_KEY_FALLBACKS still open.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from typing import Any

from flask import current_app

from newsletter.config import Settings, settings
from newsletter.errors import LinkInvalid

#: 144 bits, which are 24 letters without padding.
_SIGNATURE_BYTES = 18
_SIGNATURE_LETTERS = 24
_TO_URL = bytes.maketrans(b"+/", b"-_")


class Signer:
    """The keys of one purpose: signs with the newest and knows what any of them has signed."""

    def __init__(self, purpose: str, chosen: Settings) -> None:
        keys = [chosen.secret_key, *chosen.secret_key_fallbacks]
        derived = [
            hmac.digest(key.encode(), b"newsletter link " + purpose.encode(), "sha256") for key in keys
        ]
        # Keyed once and copied for each token: a newsletter has four for every reader.
        self._states = [
            hashlib.blake2b(key=key, digest_size=_SIGNATURE_BYTES, person=b"newsletter link")
            for key in derived
        ]
        self._older = derived

    def sign(self, payload: bytes) -> bytes:
        """Return the payload, a dot and its signature."""
        return payload + b"." + _signature(self._states[0], payload)

    def has_signed(self, payload: bytes, signature: bytes) -> bool:
        """Tell whether this is our signature of a payload."""
        if len(signature) == _SIGNATURE_LETTERS:
            return any(hmac.compare_digest(_signature(state, payload), signature) for state in self._states)
        # Mails sent by earlier versions carry HMAC-SHA-256.
        return any(hmac.compare_digest(_older_signature(key, payload), signature) for key in self._older)


class SignedLink:
    """Makes and reads the tokens of one purpose.

    ``layout`` is a struct format; ``make`` takes its values, ``read`` returns them.
    """

    def __init__(self, purpose: str, layout: str) -> None:
        self.purpose = purpose
        self._struct = struct.Struct(f">{layout}")

    def make(self, *values: int | bytes) -> str:
        """Return a token of letters, digits, ``-``, ``_`` and one dot."""
        return self.encode(self.signer(), *values).decode("ascii")

    def read(self, token: str) -> tuple[Any, ...]:
        """Return the values that ``make`` was given; raise LinkInvalid for anything we did not sign."""
        return self.decode(self.signer(), token)

    def encode(self, signer: Signer, *values: int | bytes) -> bytes:
        """Do as ``make`` with a signer kept by the caller, for code that makes thousands."""
        return signer.sign(_letters(self._struct.pack(*values)))

    def decode(self, signer: Signer, token: str) -> tuple[Any, ...]:
        """Do as ``read`` with a signer kept by the caller."""
        try:
            payload, _dot, signature = token.encode("ascii").rpartition(b".")
            # The letters are signed, and not what they stand for: the last may have bits that say nothing.
            if not signer.has_signed(payload, signature):
                raise LinkInvalid
            return self._struct.unpack(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        except (UnicodeEncodeError, binascii.Error, struct.error) as error:
            raise LinkInvalid from error

    def signer(self, chosen: Settings | None = None) -> Signer:
        """Return the signer of this purpose, outside an application context with the settings given."""
        if chosen is not None:
            return Signer(self.purpose, chosen)
        signers: dict[str, Signer] = current_app.extensions.setdefault("newsletter.signers", {})
        if self.purpose not in signers:
            signers[self.purpose] = Signer(self.purpose, settings())
        return signers[self.purpose]


def hash_secret(secret: bytes) -> str:
    """Return what we store of a random secret of ours: its SHA-256 in hex."""
    return hashlib.sha256(secret).hexdigest()


def _letters(content: bytes) -> bytes:
    """Return what goes into an address as it is (RFC 4648, 5), without padding."""
    return binascii.b2a_base64(content, newline=False).translate(_TO_URL, b"=")


def _signature(keyed: "hashlib.blake2b", payload: bytes) -> bytes:
    state = keyed.copy()
    state.update(payload)
    return _letters(state.digest())


def _older_signature(key: bytes, payload: bytes) -> bytes:
    return _letters(hmac.digest(key, payload, "sha256"))
