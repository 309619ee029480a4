"""The keys that a benchmark signs with, and what one signature costs."""

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from newsletter.mail.dkim import SIGNED_HEADERS, Key, Signer, relaxed_body


def dkim_keys(kind: str | None) -> list[str]:
    """Return private keys of a kind as PEM."""
    wanted = {"rsa": ["rsa"], "ed25519": ["ed25519"], "both": ["rsa", "ed25519"], None: []}[kind]
    made: dict[str, Callable[[], rsa.RSAPrivateKey | Ed25519PrivateKey]] = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "ed25519": Ed25519PrivateKey.generate,
    }
    return [
        made[one]().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
        for one in wanted
    ]


def measure_signing(messages: int) -> None:
    """Print the CPU time of one signature, and that of the body's hash within it."""
    line = b"    " + b"word " * 14 + b"=\r\n"
    head = "".join(
        f"{name}: something of usual length in {name}\r\n" for name in SIGNED_HEADERS if name != "Cc"
    )
    message = head.encode("ascii") + b"\r\n" + line * 220
    now = datetime.now(UTC)
    for kind in ("rsa", "ed25519", "both"):
        pems = dkim_keys(kind)
        signer = Signer("kirjakauppa.example", tuple(Key(f"s{n}", pem) for n, pem in enumerate(pems)))
        started = time.process_time()
        for _message in range(messages):
            signer.sign(message, now=now)
        each = (time.process_time() - started) / messages
        print(f"{kind:>8}: {each * 1e6:5.0f} us of CPU for a message of {len(message)} bytes")
    started = time.process_time()
    for _message in range(messages):
        hashlib.sha256(relaxed_body(message)).digest()
    print(f"of which the body's hash: {(time.process_time() - started) / messages * 1e6:5.0f} us")
