"""E-mail addresses: validation, comparison, keyed hashing and masking."""

import hashlib
import hmac
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email

from newsletter.config import current_settings
from newsletter.errors import AddressInvalid

MAX_ADDRESS_LENGTH = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
MAX_LOCAL_PART_LENGTH = 64  # RFC 5321, 4.5.3.1.1


@dataclass(frozen=True, slots=True)
class Address:
    """A validated address.

    ``text`` keeps the local part as given and has the domain as A-label; ``key`` is the casefolded form by
    which addresses are compared.
    """

    text: str
    key: str


def parse_address(text: str) -> Address:
    """Return the address in ``text``; raise AddressInvalid when no mail can be sent to it.

    Dots and plus tags are kept: only the server of the mailbox knows what they mean. A local part beyond
    ASCII is refused, as it needs SMTPUTF8 (RFC 6531) on every server on the way.
    """
    text = text.strip()
    if len(text) > MAX_ADDRESS_LENGTH:
        raise AddressInvalid
    try:
        valid = validate_email(text, check_deliverability=False, allow_smtputf8=False, test_environment=True)
    except EmailNotValidError as error:
        raise AddressInvalid from error
    if (
        valid.ascii_email is None
        or len(valid.ascii_email) > MAX_ADDRESS_LENGTH
        or len(valid.local_part) > MAX_LOCAL_PART_LENGTH
    ):
        raise AddressInvalid
    return Address(text=valid.ascii_email, key=valid.ascii_email.casefold())


def hash_address(key: str) -> str:
    """Return the HMAC-SHA-256 of an address key under which suppressions and proofs are kept."""
    return hmac.digest(current_settings().suppression_key.encode(), key.encode(), "sha256").hex()


def suppression_key_id() -> str:
    """Return a short identifier of SUPPRESSION_KEY that does not reveal the key."""
    return hashlib.sha256(b"key id " + current_settings().suppression_key.encode()).hexdigest()[:8]


def mask_address(address: str) -> str:
    """Return an address masked for a reader who may not be its owner: m•••@example.com."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}•••@{domain}"
