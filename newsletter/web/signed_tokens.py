"""Signed tokens for links, by itsdangerous: one purpose, one salt, one derived key.

A token is packed numbers (struct) in base64url, a dot, and their signature. It needs no row in the
database and holds no personal data. A token of one purpose is invalid for another. Keys in
SECRET_KEY_FALLBACKS still verify.
"""

import base64
import binascii
import hashlib
import struct
from typing import Any

import itsdangerous
from flask import current_app
from itsdangerous.signer import SigningAlgorithm

from newsletter.config import Settings, current_settings
from newsletter.errors import LinkInvalid

#: 144 bits, which are 24 characters of base64url without padding.
_SIGNATURE_BYTES = 18
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class _Blake2b(SigningAlgorithm):
    """Keyed BLAKE2b (RFC 7693). A state is keyed once and copied: a newsletter has four tokens a reader."""

    def __init__(self) -> None:
        self._states: dict[bytes, hashlib.blake2b] = {}

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        """Return the signature of a value under a derived key."""
        if key not in self._states:
            self._states[key] = hashlib.blake2b(key=key, digest_size=_SIGNATURE_BYTES)
        state = self._states[key].copy()
        state.update(value)
        return state.digest()


class Signer(itsdangerous.Signer):
    """The keys of one purpose: signs with the newest, verifies with each, and derives each once.

    itsdangerous derives a key for every token it signs, which takes as long as the signature itself.
    """

    def __init__(self, purpose: str, chosen: Settings) -> None:
        super().__init__(
            [*reversed(chosen.secret_key_fallbacks), chosen.secret_key],
            salt=b"newsletter link " + purpose.encode(),
            key_derivation="hmac",
            digest_method=hashlib.sha256,
            algorithm=_Blake2b(),
        )
        self._derived: dict[bytes, bytes] = {}

    def derive_key(self, secret_key: str | bytes | None = None) -> bytes:
        """Return the key of this purpose made of one of our keys; None is the newest."""
        secret = self.secret_keys[-1] if secret_key is None else itsdangerous.encoding.want_bytes(secret_key)
        if secret not in self._derived:
            self._derived[secret] = super().derive_key(secret)
        return self._derived[secret]


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
        """Make a token as bytes, with a signer kept by the caller: for code that makes thousands."""
        return signer.sign(_base64url(self._struct.pack(*values)))

    def decode(self, signer: Signer, token: str) -> tuple[Any, ...]:
        """Read a token with a signer kept by the caller; raise LinkInvalid."""
        try:
            # The encoded text is signed, not what it decodes to: the last character may have unused bits.
            payload = signer.unsign(token.encode("ascii"))
            return self._struct.unpack(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        except (itsdangerous.BadSignature, UnicodeEncodeError, binascii.Error, struct.error) as error:
            raise LinkInvalid from error

    def signer(self, chosen: Settings | None = None) -> Signer:
        """Return the signer of this purpose, outside an application context with the settings given."""
        if chosen is not None:
            return Signer(self.purpose, chosen)
        signers: dict[str, Signer] = current_app.extensions.setdefault("newsletter.signers", {})
        if self.purpose not in signers:
            signers[self.purpose] = Signer(self.purpose, current_settings())
        return signers[self.purpose]


def hash_secret(secret: bytes) -> str:
    """Return what we store of a random secret of ours: its SHA-256 in hex."""
    return hashlib.sha256(secret).hexdigest()


def _base64url(content: bytes) -> bytes:
    """Encode as base64url (RFC 4648, section 5) without padding."""
    return binascii.b2a_base64(content, newline=False).translate(_URL_SAFE, b"=")
