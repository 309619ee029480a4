"""DKIM signatures (RFC 6376; Ed25519: RFC 8463), made in process.

Relaxed/relaxed and over the whole body. Each header of ``SIGNED`` is named once more than it occurs,
so that nobody can add another one without breaking the signature.
"""

import base64
import hashlib
import re
from collections import Counter
from datetime import datetime
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from newsletter.config import Settings
from newsletter.mail.message import sender_domain

#: The headers that are signed (h=). Those that no mail of ours has are named too.
SIGNED_HEADERS = (
    *("From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version", "Content-Type"),
    *("List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-ID"),
)
#: The length of lines in the header, and of what is folded into them.
_LINE_LENGTH = 76
_SPACE_RUNS = re.compile(rb"  +")
_SPACES_OR_FOLDS = re.compile(rb"[ \t\r\n]+")
_SIGNED_NAMES = tuple(name.lower().encode("ascii") for name in SIGNED_HEADERS)


class Key:
    """A private key and its selector in DNS."""

    def __init__(self, selector: str, pem: str) -> None:
        # Validated once already, when the settings were read.
        key = load_pem_private_key(pem.encode("ascii"), password=None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
            raise TypeError("neither an RSA nor an Ed25519 key")
        self.selector, self._private = selector, key

    @property
    def algorithm(self) -> str:
        """The algorithm, for the tag a=."""
        return "rsa-sha256" if isinstance(self._private, RSAPrivateKey) else "ed25519-sha256"

    @property
    def record(self) -> str:
        """The TXT record to publish under ``<selector>._domainkey.<domain>``."""
        public = self._private.public_key()
        if isinstance(self._private, RSAPrivateKey):
            kind, octets = "rsa", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            kind, octets = "ed25519", public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return f"v=DKIM1; k={kind}; p={base64.b64encode(octets).decode('ascii')}"

    def sign(self, signed: bytes) -> bytes:
        """Return the signature, in base64."""
        if isinstance(self._private, RSAPrivateKey):
            signature = self._private.sign(signed, PKCS1v15(), SHA256())
        else:
            signature = self._private.sign(hashlib.sha256(signed).digest())  # RFC 8463, 3
        return base64.b64encode(signature)


class Signer:
    """Signs for one domain, with one key or with several."""

    def __init__(self, domain: str, keys: tuple[Key, ...]) -> None:
        self.domain, self.keys = domain, keys

    def sign(self, message: bytes, *, now: datetime) -> bytes:
        """Return a message, whose line ends are CRLF, with a signature of each key on top."""
        head, _blank, body = message.partition(b"\r\n\r\n")
        names, lines = _chosen_headers(head + b"\r\n")
        digest = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest()).decode("ascii")
        signatures = [self._signature(key, names, lines, digest, now) for key in self.keys]
        return b"".join([*signatures, message])

    def _signature(self, key: Key, names: list[bytes], lines: bytes, digest: str, now: datetime) -> bytes:
        listed = _folded(":".join(name.decode("ascii") for name in names), ":", " h=")
        unsigned = (
            f"DKIM-Signature: v=1; a={key.algorithm}; c=relaxed/relaxed;\r\n"
            f" d={self.domain}; s={key.selector}; t={int(now.timestamp())};\r\n"
            f"{listed};\r\n bh={digest};\r\n b="
        ).encode("ascii")
        signature = key.sign(lines + _relaxed_line(unsigned))
        return unsigned + b"\r\n ".join(_signature_lines(signature)) + b"\r\n"


def dkim_signer(chosen: Settings) -> Signer | None:
    """Return the signer of these settings; None when signing is left to the mail server."""
    if not chosen.dkim_key:
        return None
    return _signer(chosen.dkim_domain or sender_domain(chosen), chosen.dkim_selector, chosen.dkim_key)


@lru_cache(maxsize=4)
def _signer(domain: str, selectors: tuple[str, ...], pems: tuple[str, ...]) -> Signer:
    return Signer(domain, tuple(map(Key, selectors, pems)))


def relaxed_body(body: bytes) -> bytes:
    """Return the body in relaxed canonical form (RFC 6376, 3.4.4)."""
    # Runs alone: a pattern that finds single spaces as well, which are most, takes ten times as long.
    body = _SPACE_RUNS.sub(b" ", body.replace(b"\t", b" ")).replace(b" \r\n", b"\r\n")
    if body.endswith(b"\r\n\r\n") or body == b"\r\n":
        body = body.rstrip(b"\r\n") + b"\r\n"
    return b"" if body == b"\r\n" else body


def _chosen_headers(head: bytes) -> tuple[list[bytes], bytes]:
    """Return the names for h=, and the headers in that order and in the form that is signed.

    Of headers that occur more than once the last is signed first (RFC 6376, 5.4.2).
    """
    found: list[tuple[bytes, bytes]] = []
    for line in head.splitlines(keepends=True):
        if line[:1] in b" \t" and found:
            found[-1] = (found[-1][0], found[-1][1] + line)
        else:
            found.append((line.partition(b":")[0].strip().lower(), line))
    counts = Counter(name for name, _line in found)
    names, lines = [], []
    for name in _SIGNED_NAMES:
        names += [name] * (counts[name] + 1)
        lines += [_relaxed_line(line) + b"\r\n" for known, line in reversed(found) if known == name]
    return names, b"".join(lines)


def _relaxed_line(line: bytes) -> bytes:
    """Return one header in relaxed canonical form, without its line end (RFC 6376, 3.4.2)."""
    name, _colon, value = line.partition(b":")
    return name.strip().lower() + b":" + _SPACES_OR_FOLDS.sub(b" ", value).strip()


def _folded(text: str, separator: str, prefix: str) -> str:
    lines = [prefix]
    for number, word in enumerate(text.split(separator)):
        piece = separator + word if number else word
        if len(lines[-1]) + len(piece) > _LINE_LENGTH:
            lines.append(" ")
        lines[-1] += piece
    return "\r\n".join(lines)


def _signature_lines(signature: bytes) -> list[bytes]:
    return [
        signature[start : start + _LINE_LENGTH - 4] for start in range(0, len(signature), _LINE_LENGTH - 4)
    ]
