"""Signed tokens for links: one purpose, one derived key.

A token is packed numbers (struct) and their signature (keyed BLAKE2b), in base64url. It needs no row in
the database and holds no personal data. Each purpose has a key of its own, derived from SECRET_KEY, so a
token of one purpose is invalid for another. Keys in SECRET_KEY_FALLBACKS still verify.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from typing import Any

from flask import current_app

from newsletter.config import Settings, current_settings
from newsletter.errors import LinkInvalid

#: 144 bits, which are 24 characters of base64url without padding.
_SIGNATURE_BYTES = 18
_SIGNATURE_CHARACTERS = 24
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Signer:
    """The keys of one purpose: signs with the newest, verifies with each."""

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

    def verify(self, payload: bytes, signature: bytes) -> bool:
        """Tell whether the signature belongs to the payload, under any of the keys."""
        if len(signature) == _SIGNATURE_CHARACTERS:
            return any(hmac.compare_digest(_signature(state, payload), signature) for state in self._states)
        # Mails sent by earlier versions carry HMAC-SHA-256.
        return any(hmac.compare_digest(_legacy_signature(key, payload), signature) for key in self._older)


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
            payload, _dot, signature = token.encode("ascii").rpartition(b".")
            # The encoded text is signed, not what it decodes to: the last character may have unused bits.
            if not signer.verify(payload, signature):
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
            signers[self.purpose] = Signer(self.purpose, current_settings())
        return signers[self.purpose]


def hash_secret(secret: bytes) -> str:
    """Return what we store of a random secret of ours: its SHA-256 in hex."""
    return hashlib.sha256(secret).hexdigest()


def _base64url(content: bytes) -> bytes:
    """Encode as base64url (RFC 4648, section 5) without padding."""
    return binascii.b2a_base64(content, newline=False).translate(_URL_SAFE, b"=")


def _signature(keyed: "hashlib.blake2b", payload: bytes) -> bytes:
    state = keyed.copy()
    state.update(payload)
    return _base64url(state.digest())


def _legacy_signature(key: bytes, payload: bytes) -> bytes:
    return _base64url(hmac.digest(key, payload, "sha256"))
