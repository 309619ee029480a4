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
from itsdangerous import Signer

from newsletter.config import Settings, settings
from newsletter.errors import LinkInvalid


class SignedLink:
    """Makes and reads the tokens of one purpose.

    ``layout`` is a struct format; ``make`` takes its values, ``read`` returns them.
    """

    def __init__(self, purpose: str, layout: str) -> None:
        self.purpose = purpose
        self._struct = struct.Struct(f">{layout}")

    def make(self, *values: int | bytes) -> str:
        """Return a token of letters, digits, ``-``, ``_`` and one dot."""
        return self.encode(self.signer(), *values)

    def read(self, token: str) -> tuple[Any, ...]:
        """Return the values that ``make`` was given; raise LinkInvalid for anything we did not sign."""
        return self.decode(self.signer(), token)

    def encode(self, signer: Signer, *values: int | bytes) -> str:
        """Do as ``make`` with a signer kept by the caller, for code that makes thousands."""
        payload = base64.urlsafe_b64encode(self._struct.pack(*values)).rstrip(b"=")
        return signer.sign(payload).decode("ascii")

    def decode(self, signer: Signer, token: str) -> tuple[Any, ...]:
        """Do as ``read`` with a signer kept by the caller."""
        try:
            payload, _dot, signature = token.encode("ascii").rpartition(b".")
            # Compared as text: decoded first, a signature has two spare bits that anyone may change.
            if not any(hmac.compare_digest(_sign(key, payload), signature) for key in signer.secret_keys):
                raise LinkInvalid
            return self._struct.unpack(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        except (UnicodeEncodeError, binascii.Error, struct.error) as error:
            raise LinkInvalid from error

    def signer(self, chosen: Settings | None = None) -> Signer:
        """Return the signer of this purpose, outside an application context with the settings given."""
        if chosen is not None:
            return _signer(self.purpose, chosen)
        signers: dict[str, Signer] = current_app.extensions.setdefault("newsletter.signers", {})
        if self.purpose not in signers:
            signers[self.purpose] = _signer(self.purpose, settings())
        return signers[self.purpose]


def hash_secret(secret: bytes) -> str:
    """Return what we store of a random secret of ours: its SHA-256 in hex."""
    return hashlib.sha256(secret).hexdigest()


def _sign(key: bytes, payload: bytes) -> bytes:
    """Return what a signer of ours signs with this key."""
    return base64.urlsafe_b64encode(hmac.digest(key, payload, "sha256")).rstrip(b"=")


def _signer(purpose: str, chosen: Settings) -> Signer:
    keys = [*chosen.secret_key_fallbacks, chosen.secret_key]  # itsdangerous signs with the last
    # Deriving here once, and not in the signer at each call, halves the cost of a token.
    derived = [hmac.digest(key.encode(), b"newsletter link " + purpose.encode(), "sha256") for key in keys]
    return Signer(derived, key_derivation="none", digest_method=hashlib.sha256)
