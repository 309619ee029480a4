"""Keys that sign in tests, and their public halves as DNS would have them."""

from functools import cache

import dkim
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from newsletter.config import Settings
from newsletter.mail.dkim import dkim_signer


@cache
def rsa_pem(bits: int = 2048) -> str:
    return _pem(rsa.generate_private_key(65537, bits))


@cache
def ed25519_pem() -> str:
    return _pem(ed25519.Ed25519PrivateKey.generate())


def verify(message: bytes, chosen: Settings) -> list[bool]:
    """Let dkimpy look at every signature of a message; DNS has what these settings say."""
    signer = dkim_signer(chosen)
    assert signer is not None
    records = {
        f"{key.selector}._domainkey.{signer.domain}.".encode(): key.record.encode() for key in signer.keys
    }
    count = message.partition(b"\r\n\r\n")[0].count(b"DKIM-Signature:")
    return [_holds(message, number, records) for number in range(count)]


def _holds(message: bytes, number: int, records: dict[bytes, bytes]) -> bool:
    try:
        return bool(dkim.DKIM(message).verify(idx=number, dnsfunc=lambda name, timeout=5: records[name]))
    except dkim.DKIMException:
        return False


def _pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
