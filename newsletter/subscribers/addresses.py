"""Addresses: what counts as one, when two are the same, and how one is hashed or masked."""

import hashlib
import hmac
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email

from newsletter.config import current_settings
from newsletter.errors import AddressInvalid

LONGEST = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
LONGEST_LOCAL = 64  # RFC 5321, 4.5.3.1.1


@dataclass(frozen=True, slots=True)
class Address:
    """An address that can be written to.

    ``text`` keeps the local part as it was given and has the domain as A-label; ``key`` is the
    same for two spellings that differ in case only.
    """

    text: str
    key: str


def parse_address(text: str) -> Address:
    """Return the address in a form field; raise AddressInvalid when mail cannot be sent to it.

    Dots and plus tags stay: only the mailbox's own server knows what they mean. A local part
    beyond ASCII is refused, as it takes SMTPUTF8 on every server on the way.
    """
    text = text.strip()
    if len(text) > LONGEST:
        raise AddressInvalid
    try:
        valid = validate_email(text, check_deliverability=False, allow_smtputf8=False, test_environment=True)
    except EmailNotValidError as error:
        raise AddressInvalid from error
    if valid.ascii_email is None or len(valid.ascii_email) > LONGEST or len(valid.local_part) > LONGEST_LOCAL:
        raise AddressInvalid
    return Address(text=valid.ascii_email, key=valid.ascii_email.casefold())


def hash_address(key: str) -> str:
    """Return the keyed hash under which an address is suppressed and its proof is kept."""
    return hmac.digest(current_settings().suppression_key.encode(), key.encode(), "sha256").hex()


def suppression_key_id() -> str:
    """Name the key in force, without giving it away."""
    return hashlib.sha256(b"key id " + current_settings().suppression_key.encode()).hexdigest()[:8]


def mask(address: str) -> str:
    """Show an address to someone who may only have been forwarded a mail: m•••@example.com."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}•••@{domain}"
